package page

import (
	"fmt"
	"time"

	"camseal/agent/internal/duty"
)

// view is what the templates see.
type view struct {
	Lang        lang
	S           duty.State
	Key         string // of a refusal
	said, wrong string
}

// T returns a text in the page's language.
func (v view) T(key string) string { return v.Lang.in(key) }

// Said is what was done; empty: nothing.
func (v view) Said() string { return v.Lang.in("said-" + v.said) }

// Wrong is what was not done, and why; empty: nothing.
func (v view) Wrong() string { return v.Lang.in("wrong-" + v.wrong) }

// Mode names what the recorder does: recording, ready or no-camera.
func (v view) Mode() string {
	switch {
	case v.S.Recording != nil:
		return "recording"
	case v.S.Camera():
		return "ready"
	}
	return "no-camera"
}

// Icon stands before the word of the mode.
func (v view) Icon() string {
	return map[string]string{"recording": "●", "ready": "○", "no-camera": "✕"}[v.Mode()]
}

// Tells is the sentence below the word.
func (v view) Tells() string {
	switch {
	case v.S.Recording != nil && !v.S.Camera():
		return v.T("gap")
	case v.Mode() == "ready" && v.S.Buffered >= 1:
		return fmt.Sprintf(v.T("do-buffered"), int(v.S.Buffered))
	}
	return v.T("do-" + v.Mode())
}

// Clock is how long the recording has lasted.
func (v view) Clock() string {
	if v.S.Recording == nil {
		return ""
	}
	d := max(0, v.S.At.Sub(v.S.Since)).Truncate(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%02d:%02d", m, s)
}

// Watched says how many people watch.
func (v view) Watched() string { return fmt.Sprintf(v.T("watched"), v.S.Watched) }

// fact is a line of the table.
type fact struct{ Name, Value string }

// Facts are how the recorder is, in a few words each.
func (v view) Facts() []fact {
	server, behind := v.T("online"), v.T("behind-no")
	if !v.S.Online {
		server = v.T("offline")
	}
	if v.S.Behind > 0 {
		behind = fmt.Sprint(v.S.Behind)
	}
	out := []fact{{v.T("seal"), v.seal()}, {v.T("server"), server}, {v.T("behind"), behind}, {v.T("room"), fmt.Sprintf("%d %%", v.S.Full)}}
	if v.S.Link != "" {
		out = append(out, fact{v.T("link"), v.T(v.S.Link)})
	}
	if v.S.Camera() {
		out = append(out, fact{v.T("camera"), v.camera()})
	}
	if v.S.BegunBy != "" {
		out = append(out, fact{v.T("by"), v.by()})
	}
	if p := v.S.Position; p != nil {
		out = append(out, fact{v.T("position"), degrees(p.Lat.Sign, p.Lat.Value) + " " + degrees(p.Lon.Sign, p.Lon.Value)})
	}
	return out
}

func (v view) seal() string {
	switch {
	case v.S.TPM != "":
		return v.T("seal-not")
	case v.S.Class == "software":
		return v.T("software")
	case v.S.Age > 10*time.Second:
		return fmt.Sprintf(v.T("unsealed"), v.S.Unsealed)
	}
	return v.T("sealed")
}

func (v view) camera() string {
	text := v.S.Video
	if v.S.Width > 0 {
		text += fmt.Sprintf(" %d×%d", v.S.Width, v.S.Height)
	}
	if v.S.Audio != "" {
		text += " " + v.S.Audio
	}
	return text
}

// by puts the recorder's own ways into words; a person at the server stands as named there.
func (v view) by() string {
	key, ok := map[string]string{duty.ByButton: "by-button", duty.ByKey: "by-key", duty.BySchedule: "by-schedule", duty.ByAlways: "by-configuration", duty.ByPage: "by-page",
		duty.ByRestart: "by-restart"}[v.S.BegunBy]
	if !ok {
		return v.S.BegunBy
	}
	return v.T(key)
}

func degrees(sign string, v uint64) string {
	if sign != "-" {
		sign = ""
	}
	return fmt.Sprintf("%s%d.%05d°", sign, v/1_000_000, v%1_000_000/10)
}

// Troubles are what is wrong, alarms included.
func (v view) Troubles() []string {
	return append(append([]string(nil), v.S.Troubles...), v.S.Alarms...)
}
