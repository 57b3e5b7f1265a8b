package web

import (
	"net/http"

	"golang.org/x/text/language"

	"github.com/gin-gonic/gin"
)

// lang is a language of the pages.
type lang string

const (
	english lang = "en"
	chinese lang = "zh-CN"
)

var matcher = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})

const langCookie = "lang"

// asked is the language asked for in the address; empty if none is.
func asked(c *gin.Context) lang {
	switch q := lang(c.Query("lang")); q {
	case "zh", chinese:
		return chinese
	case english:
		return english
	}
	return ""
}

// langOf takes the language asked for in the address, else the account's, else the one chosen before, else the browser's.
func (s *site) langOf(c *gin.Context) lang {
	if q := asked(c); q != "" {
		http.SetCookie(c.Writer, langKeep(q))
		return q
	}
	if l := lang(s.me(c).Language); l == english || l == chinese {
		return l
	}
	if v, err := c.Cookie(langCookie); err == nil && (lang(v) == english || lang(v) == chinese) {
		return lang(v)
	}
	_, i, _ := matcher.Match(accepted(c)...)
	return []lang{english, chinese}[i]
}

func accepted(c *gin.Context) []language.Tag {
	tags, _, err := language.ParseAcceptLanguage(c.GetHeader("Accept-Language"))
	if err != nil {
		return nil
	}
	return tags
}

// texts are the words of the pages, by the glossary of the design: en, then zh-CN. Each area of the pages has its own file of them.
var texts = together(
	textsRecordings,
	textsSearch,
	textsPeople,
	textsChecked,
	textsPlayer,
	textsRules,
	textsMedia,
	textsCases,
	textsReview,
	textsHome,
	textsCalendar,
	textsRetention,
	textsFleet,
	textsGrowing,
	textsLive,
)

// together joins the areas' words. A key stands for one text everywhere.
func together(areas ...map[string][2]string) map[string][2]string {
	all := map[string][2]string{}
	for _, area := range areas {
		for key, text := range area {
			if _, ok := all[key]; ok {
				panic("text " + key + " is there twice")
			}
			all[key] = text
		}
	}
	return all
}

// in returns a text in this language.
func (l lang) in(key string) string {
	t, ok := texts[key]
	if !ok {
		return key
	}
	if l == chinese {
		return t[1]
	}
	return t[0]
}
