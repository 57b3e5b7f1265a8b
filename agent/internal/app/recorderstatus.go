package app

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"camseal/agent/internal/duty"
)

// printRecorder says how an agent's camera, capture and live viewing are.
func printRecorder(w io.Writer, s duty.State) {
	camera := "NONE"
	if s.Camera() {
		camera = s.Video
		if s.Width > 0 {
			camera += fmt.Sprintf(" %dx%d", s.Width, s.Height)
		}
		if s.Audio != "" {
			camera += " " + s.Audio
		}
	}
	fmt.Fprintf(w, "camera      %s\n", words(camera))
	switch {
	case s.Recording != nil:
		fmt.Fprintf(w, "RECORDING   %s for %s, %d segments, begun by %s\n", s.Recording, s.At.Sub(s.Since).Truncate(time.Second), s.Segments, words(s.BegunBy))
		if s.InHeader {
			fmt.Fprintln(w, "header      is being spoken")
		}
	default:
		fmt.Fprintf(w, "recording   none; %.0f s are kept from before a start\n", s.Buffered)
	}
	switch {
	case s.Watched > 0:
		fmt.Fprintf(w, "LIVE        watched by %d\n", s.Watched)
	case s.Publishing:
		fmt.Fprintln(w, "live        goes out, nobody watches")
	case s.LiveOn:
		fmt.Fprintln(w, "live        is wanted, and does not go out yet")
	}
	fmt.Fprintf(w, "link        %s, %d chunks wait\n", s.Link, s.Behind)
	for _, t := range s.Troubles {
		fmt.Fprintf(w, "trouble     %s\n", words(t))
	}
}

// words makes a text of one line that can't steer the terminal.
func words(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
