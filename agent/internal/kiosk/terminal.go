package kiosk

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"camseal/agent/internal/dock"
)

// Terminal writes what the kiosk's first page shows, in lines of plain text, for a terminal. language is "en"; anything else is "zh-CN".
// It writes once; names that recorders or people gave can't move the cursor or change colours.
func Terminal(w io.Writer, snap dock.Snapshot, language string) error {
	l := chinese
	if lang(language) == english {
		l = english
	}
	var b bytes.Buffer
	st := status{snap, l}
	line := func(parts ...string) {
		fmt.Fprintln(&b, plain(strings.Join(parts, " · ")))
	}
	tpm := l.in("tpm-ok")
	switch {
	case snap.Class == "software":
		tpm = "! " + l.in("software")
	case snap.TPM != "":
		tpm = "✗ " + l.in("tpm-not")
	}
	online := "✓ " + l.in("online")
	if !snap.Online {
		online = "○ " + l.in("offline")
	}
	line(snap.Station, l.in("dock"), online, st.Vault(), tpm, fmt.Sprintf(l.in("free"), bytesText(snap.Free)), snap.At.Local().Format(time.TimeOnly))
	for _, text := range st.Trouble() {
		line("✗ " + text)
	}
	waiting := "✓ " + l.in("waiting-none")
	if snap.Headers > 0 {
		waiting = "! " + st.Waiting() + " (" + l.in("also-gone") + ")"
	}
	line(waiting)
	fmt.Fprintln(&b)
	var rows [][]string
	for _, t := range snap.Tiles {
		v := tileOf(t, l, snap.At)
		rows = append(rows, []string{t.Slot, v.Icon + " " + v.Word, v.Far, v.Who, strings.Join(more(v), " · ")})
	}
	table(&b, rows)
	_, err := w.Write(b.Bytes())
	return err
}

// more is what stands in a tile's last column.
func more(v tile) []string {
	out := []string{v.Do}
	for _, text := range v.Warn {
		out = append(out, "! "+text.Long)
	}
	for _, text := range append([]string{v.What, v.FilesText()}, v.Small...) {
		if text != "" {
			out = append(out, text)
		}
	}
	return out
}

// table writes columns under each other; the last one is as wide as it is.
func table(w io.Writer, rows [][]string) {
	var widths [5]int
	for _, r := range rows {
		for i := range r {
			r[i] = plain(r[i])
			widths[i] = max(widths[i], cells(r[i]))
		}
	}
	for _, r := range rows {
		for i, text := range r {
			if i == len(r)-1 {
				fmt.Fprintln(w, strings.TrimRight(text, " "))
			} else {
				fmt.Fprint(w, text, strings.Repeat(" ", widths[i]-cells(text)+2))
			}
		}
	}
}

// cells is how many columns of a terminal a text takes: Chinese signs take two (Unicode Standard Annex 11).
func cells(text string) (n int) {
	for _, r := range text {
		switch k := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r):
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// plain makes what a terminal would obey visible instead.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\u200b' { // where a line of the page may break
			return -1
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
