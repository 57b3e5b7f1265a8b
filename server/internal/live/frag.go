package live

import (
	"errors"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// fragment is what a PATCH says (RFC 8840): candidates of one generation of ICE.
type fragment struct {
	ufrag, pwd string
	candidates []webrtc.ICECandidateInit
}

const maxCandidates = 128 // of an offer, and of all that follows in one generation of ICE

// parseFragment reads application/trickle-ice-sdpfrag.
func parseFragment(body string) (fragment, error) {
	var f fragment
	mid := ""
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		switch {
		case line == "" || strings.HasPrefix(line, "m="):
		case name == "a=ice-ufrag":
			f.ufrag = value
		case name == "a=ice-pwd":
			f.pwd = value
		case name == "a=mid":
			mid = value
		case name == "a=candidate":
			if len(f.candidates) == maxCandidates {
				return f, errors.New("too many candidates")
			}
			c := webrtc.ICECandidateInit{Candidate: "candidate:" + value, SDPMid: &mid}
			if mid == "" {
				c.SDPMid, c.SDPMLineIndex = nil, new(uint16)
			}
			f.candidates = append(f.candidates, c)
		case strings.HasPrefix(line, "a=") || strings.HasPrefix(line, "o=") || strings.HasPrefix(line, "s=") || strings.HasPrefix(line, "t=") || strings.HasPrefix(line, "v="):
		default:
			return f, errors.New("a line is none of SDP")
		}
	}
	if f.ufrag == "" || f.pwd == "" || len(f.ufrag) > 256 || len(f.pwd) > 256 {
		return f, errors.New("ice-ufrag and ice-pwd are missing")
	}
	return f, nil
}

// iceOf is an offer's user fragment, of the session or its first medium.
func iceOf(offer string) string {
	d := &sdp.SessionDescription{}
	if d.UnmarshalString(offer) != nil {
		return ""
	}
	if v, ok := d.Attribute("ice-ufrag"); ok {
		return v
	}
	for _, m := range d.MediaDescriptions {
		if v, ok := m.Attribute("ice-ufrag"); ok {
			return v
		}
	}
	return ""
}

// withICE is an offer with other credentials, and without candidates.
func withICE(offer string, f fragment) (string, error) {
	d := &sdp.SessionDescription{}
	if err := d.UnmarshalString(offer); err != nil {
		return "", err
	}
	change := func(list []sdp.Attribute) []sdp.Attribute {
		list = slices.DeleteFunc(slices.Clone(list), func(a sdp.Attribute) bool { return a.Key == "candidate" || a.Key == "end-of-candidates" })
		for i, a := range list {
			switch a.Key {
			case "ice-ufrag":
				list[i].Value = f.ufrag
			case "ice-pwd":
				list[i].Value = f.pwd
			}
		}
		return list
	}
	d.Attributes = change(d.Attributes)
	for _, m := range d.MediaDescriptions {
		m.Attributes = change(m.Attributes)
	}
	out, err := d.Marshal()
	return string(out), err
}

// fragmentOf is what an answer says about ICE, for a PATCH's answer.
func fragmentOf(answer string) (string, error) {
	d := &sdp.SessionDescription{}
	if err := d.UnmarshalString(answer); err != nil {
		return "", err
	}
	var ice, media strings.Builder
	for _, m := range d.MediaDescriptions {
		if m.MediaName.Port.Value == 0 {
			continue
		}
		for _, a := range append(slices.Clone(d.Attributes), m.Attributes...) {
			switch a.Key {
			case "ice-ufrag", "ice-pwd", "ice-options":
				ice.WriteString("a=" + a.String() + "\r\n")
			case "mid", "candidate", "end-of-candidates":
				media.WriteString("a=" + a.String() + "\r\n")
			}
		}
		return ice.String() + "m=" + m.MediaName.String() + "\r\n" + media.String(), nil
	}
	return "", errors.New("nothing is sent or taken")
}
