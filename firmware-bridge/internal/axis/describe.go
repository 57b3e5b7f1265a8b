package axis

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// Limits of what is read out of bookmarks. What is beyond them stays in the bookmarks' own files.
const (
	maxMarks    = 500
	maxBookmark = 4 << 10 // bytes of one that are read
	maxMarkText = 512
	maxWait     = 24 * time.Hour // from a clip's begin to a moment in it, when its end is not known
)

// file is one of a container's, with its name in files.
type file struct {
	handoff.File
	name string
	stop int64 // of a clip, milliseconds since 1970; 0: not known
}

// bookmark is a moment that was marked, and what was said of it.
type bookmark struct {
	at       int64 // milliseconds since 1970; 0: the recording's begin
	category string
	text     string
}

// act is what a container is about.
type act struct {
	clips     []file
	others    []file
	bookmarks []bookmark
	place     string
	badTrail  bool
}

// describe reads what names, metadata, bookmarks and trail say. What can't be understood is left out: it keeps no file from being handed over.
func (d *Destination) describe(dir string, c container) (*act, error) {
	a := &act{}
	err := d.each(dir, func(o object) error {
		f := file{name: fileName(o.Name), File: handoff.File{Kind: kindOf(o), Serial: c.camera(), Officer: c.officer(), Begun: o.Meta.moment("starttimeiso", "starttime")}}
		if f.Begun == 0 {
			f.Begun = stampOf(o.Name)
		}
		f.stop = o.Meta.moment("stoptimeiso", "stoptime")
		path := filepath.Join(dir, "files", f.name)
		switch {
		case f.Kind.Footage():
			a.clips = append(a.clips, f)
			return nil
		case strings.HasPrefix(o.Name, "bookmark_"):
			text, err := beginning(path, maxBookmark)
			if err != nil {
				return err
			}
			if len(a.bookmarks) < maxMarks {
				at := o.Meta.moment("starttime", "starttime")
				if at == 0 {
					at = stampOf(o.Name)
				}
				a.bookmarks = append(a.bookmarks, bookmark{at, o.Meta.text("categoryname"), clean(text, maxMarkText)})
			}
		case f.Kind == handoff.KindTrack && a.place == "":
			place, err := firstFix(path)
			if err != nil && !errors.Is(err, errTrail) {
				return err
			}
			a.place, a.badTrail = place, err != nil
		}
		a.others = append(a.others, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.others = append(a.others, file{name: metadataFile, File: handoff.File{Kind: handoff.KindLog, Serial: c.camera(), Officer: c.officer(), Begun: c.begun()}})
	slices.SortStableFunc(a.clips, func(x, y file) int { return cmp.Or(cmp.Compare(x.Begun, y.Begun), cmp.Compare(x.name, y.name)) })
	slices.SortStableFunc(a.bookmarks, func(x, y bookmark) int { return cmp.Compare(x.at, y.at) })
	return a, nil
}

func kindOf(o object) handoff.Kind {
	switch ext := strings.ToLower(filepath.Ext(o.Name)); {
	case strings.HasSuffix(o.Name, "_gpstrail.json"):
		return handoff.KindTrack
	case strings.HasPrefix(o.Name, "bookmark_"):
		return handoff.KindLog
	case slices.Contains([]string{".mp4", ".mkv", ".mov", ".avi", ".ts", ".m4v"}, ext):
		return handoff.KindVideo
	case slices.Contains([]string{".wav", ".mp3", ".m4a", ".aac", ".mka", ".ogg", ".opus"}, ext):
		return handoff.KindSound
	case slices.Contains([]string{".jpg", ".jpeg", ".png"}, ext):
		return handoff.KindPhoto
	case strings.HasPrefix(o.Type, "video/") && ext == "":
		return handoff.KindVideo
	}
	return handoff.KindOther
}

// files are the clips, as one sequence with its header, note and marks, and then the others.
func (a *act) files(c container) []file {
	header, note := a.header(c), a.note()
	for i := range a.clips {
		f := &a.clips[i]
		f.Group, f.Number = volumeOf(c.Account, c.Name), uint64(i+1)
		f.Header, f.Note = header, note
	}
	for _, b := range a.bookmarks {
		a.mark(b)
	}
	return slices.Concat(a.clips, a.others)
}

// mark puts a bookmark into the clip that it falls in.
func (a *act) mark(b bookmark) {
	if len(a.clips) == 0 {
		return
	}
	i := 0
	for i+1 < len(a.clips) && a.clips[i+1].Begun != 0 && a.clips[i+1].Begun <= b.at {
		i++
	}
	f := &a.clips[i]
	moment := int64(0)
	if b.at != 0 && f.Begun != 0 {
		end := f.Begun + maxWait.Milliseconds()
		if f.stop >= f.Begun {
			end = f.stop
		}
		moment = max(0, min(b.at, end)-f.Begun)
	}
	text := b.category
	if text != "" && b.text != "" {
		text += ": "
	}
	f.Marks = append(f.Marks, handoff.Mark{Moment: uint64(moment), Text: text + b.text})
}

// note is what was written in bookmarks.
func (a *act) note() string {
	var texts []string
	for _, b := range a.bookmarks {
		if b.text != "" {
			texts = append(texts, b.text)
		}
	}
	all := strings.Join(texts, "\n")
	if len(all) <= handoff.MaxText {
		return all
	}
	cut := strings.LastIndexByte(all[:handoff.MaxText-len("…")], '\n')
	return all[:cut+1] + "…"
}

func (a *act) header(c container) *handoff.Header {
	h := &handoff.Header{Officers: []evidence.Officer{}, Further: []evidence.FurtherField{}, Place: a.place, By: "axis content destination: " + c.system()}
	if name := cmp.Or(c.User.text("name"), c.officer()); name != "" {
		h.Officers = append(h.Officers, evidence.Officer{Name: name, Certificate: c.User.text("userid")})
	}
	var causes []string
	for _, b := range a.bookmarks {
		if b.category != "" && !slices.Contains(causes, b.category) && len(causes) < 8 {
			causes = append(causes, b.category)
		}
	}
	h.Cause = strings.Join(causes, "; ")
	if at := c.begun(); at != 0 {
		h.Time = time.UnixMilli(at).UTC().Format(time.RFC3339)
	}
	further := func(name, value string) {
		if value != "" {
			h.Further = append(h.Further, evidence.FurtherField{Name: name, Value: value})
		}
	}
	further("recording", clean(c.Name, 256))
	for _, f := range []struct{ name, key string }{{"began by", "triggeron"}, {"ended by", "triggeroff"}, {"ended at", "triggerofftimeiso"}, {"began where", "triggeronlocation"},
		{"ended where", "triggerofflocation"}, {"time zone", "timezone"}, {"controller", "scuserialnumber"}} {
		further(f.name, c.Meta.text(f.key))
	}
	if a.badTrail {
		further("track", "can't be read; it is kept as it came")
	}
	return h
}

// begun is when the recording was triggered, milliseconds since 1970; 0: not known.
func (c *container) begun() int64 {
	_, _, at := c.parts()
	return cmp.Or(c.Meta.moment("triggerontimeiso", "triggerontime"), c.Meta.moment("starttimeiso", "starttime"), stampOf(at))
}

// officer is the id that the department gave the user, or else the one that the system did.
func (c *container) officer() string { return cmp.Or(c.User.text("userid"), c.user()) }

// system is the name of the body-worn system, or else of its account: of several systems in one account it is not known which one sent this.
func (c *container) system() string {
	if len(c.Systems) == 1 {
		return c.Systems[0].text("systemname")
	}
	return c.Account
}

// beginning reads at most limit bytes of a file; one that was released is empty.
func beginning(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	return string(b), err
}
