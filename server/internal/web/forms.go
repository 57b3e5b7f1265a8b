package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/casefile"
)

const maxForm = 2 << 20 // bytes of a form without files

// form reads a form without files: bounded, its values in plain line ends and without blanks around them. If it can't be read the answer was given.
func (s *site) form(c *gin.Context) (url.Values, bool) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	err := c.Request.ParseForm()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		s.sorry(c, http.StatusRequestEntityTooLarge, "form-large")
		return nil, false
	case err != nil:
		s.sorry(c, http.StatusBadRequest, "form-unread")
		return nil, false
	}
	for _, values := range c.Request.PostForm {
		for i, v := range values {
			values[i] = typed(v)
		}
	}
	return c.Request.PostForm, true
}

// typed is what somebody typed, as it is kept.
func typed(v string) string {
	v = strings.ReplaceAll(strings.ToValidUTF8(v, "\ufffd"), "\x00", "\ufffd")
	return strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(v, "\r\n", "\n"), "\r", "\n"))
}

// Kinds of inputs.
const (
	inputLine   = "line"
	inputText   = "text"
	inputDate   = "date"
	inputChoice = "choice"
	inputHidden = "hidden"
)

// input is one field of a form.
type input struct {
	Name, Label string // the label is a text's key
	Hint        string // a text's key, or empty
	Kind        string
	Value       string
	Options     []option // to choose from, or (line) to suggest
	Error       string   // in words
	Required    bool
	Rows        int    // of a text; 0: some
	Base        string // what it was made from, to be sent back with it; empty: nothing
}

// option is one value to choose.
type option struct{ Value, Text string }

// framed hands a part of a page its frame too.
type framed struct {
	F Frame
	X any
}

func withFrame(x any, f Frame) framed { return framed{f, x} }

// refusal is why something may not be done, in words; false if err is something else.
func (f Frame) refusal(err error) (string, bool) {
	var r *casefile.Refused
	if !errors.As(err, &r) {
		return "", false
	}
	return f.T(r.Key), true
}

// pick keeps a value only if it is one of those that may be chosen.
func pick(v string, of []string) string {
	for _, o := range of {
		if v == o {
			return v
		}
	}
	return ""
}
