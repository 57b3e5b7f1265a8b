package live

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// newETag names a generation of ICE.
func newETag() string { return `"` + rand.Text() + `"` }

func (r *Relay) admitPublisher(ctx context.Context, name string, o webrtc.SessionDescription, d *sdp.SessionDescription) (*session, string, error) {
	offer := choices(d, r.cfg.Recode)
	reason := Reason("")
	switch {
	case offer.otherVideo:
		reason = ReasonVideo
	case offer.otherAudio:
		reason = ReasonAudio
	}
	r.mu.Lock()
	s, err := r.enter(name)
	if err == nil && len(offer.video)+len(offer.audio) == 0 {
		s.reason = reason
		if s.publisher == nil {
			s.startGrace() // for as long it can be seen why
		}
		err = refuse(406, "the stream is coded in a way that can't be sent to browsers", "publish H.264 (packetization mode 1), Opus or G.711")
	}
	if err == nil {
		s.coming++
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			s.coming--
			s.leave()
		}()
	}
	r.mu.Unlock()
	if err != nil {
		return nil, "", err
	}
	video, audio := preferred(offer.video), preferred(offer.audio)
	var codecs []codec
	for _, c := range []*codec{video, audio} {
		if c != nil {
			codecs = append(codecs, *c)
		}
	}
	p, err := r.connect(s, true, codecs)
	if err != nil {
		return nil, "", err
	}
	p.from = [2]*codec{video, audio}
	p.pc.OnTrack(p.receive)
	answer, err := p.answer(ctx, o)
	if err == nil {
		err = r.publish(p, shown(video), shown(audio), reason)
	}
	if err != nil {
		p.end("it was refused")
		return nil, "", err
	}
	r.tell(name)
	return p, answer, nil
}

// preferred is the one codec of a kind that is taken, so that it is clear from the beginning what will come: the first that needs no re-coding.
func preferred(of []codec) *codec {
	for i := range of {
		if shown(&of[i]) == &of[i] {
			return &of[i]
		}
	}
	if len(of) > 0 {
		return &of[0]
	}
	return nil
}

// shown is what viewers are sent instead of a codec: the same, if it can be relayed as it is.
func shown(c *codec) *codec {
	switch {
	case c != nil && c.MimeType == webrtc.MimeTypeH265:
		return &recodedVideo
	case c != nil && c.MimeType == mimeAAC:
		return &recodedAudio
	}
	return c
}

func (r *Relay) admitViewer(ctx context.Context, name string, o webrtc.SessionDescription, d *sdp.SessionDescription) (*session, string, error) {
	offer := choices(d, false)
	s, err := r.reserve(ctx, name)
	if err != nil {
		return nil, "", err
	}
	p, answer, err := r.view(ctx, s, offer, o)
	if err != nil {
		r.release(s)
		return nil, "", err
	}
	return p, answer, nil
}

func (r *Relay) view(ctx context.Context, s *stream, offer offer, o webrtc.SessionDescription) (*session, string, error) {
	var outs []*out
	r.mu.Lock()
	video, audio := s.video, s.audio
	r.mu.Unlock()
	for _, k := range []struct {
		track *track
		of    []codec
	}{{video, offer.video}, {audio, offer.audio}} {
		if k.track == nil {
			continue
		}
		if c, ok := nearest(k.of, k.track.codec); ok {
			outs = append(outs, newOut(s, k.track, c))
		}
	}
	if len(outs) == 0 {
		return nil, "", refuse(406, "the offer has none of what is published", "offer to receive H.264 (packetization mode 1)")
	}
	p, err := r.connect(s, false, append(offer.video, offer.audio...))
	if err != nil {
		return nil, "", err
	}
	p.outs = outs
	answer := ""
	for _, out := range outs {
		sender, err := p.pc.AddTrack(out)
		if err != nil {
			p.end("it was refused")
			return nil, "", fmt.Errorf("add a viewer's track: %w", err)
		}
		p.start(func() { out.listen(sender, r.cfg.Now) })
	}
	if answer, err = p.answer(ctx, o); err == nil {
		err = r.watch(p)
	}
	if err != nil {
		p.end("it was refused")
		return nil, "", err
	}
	return p, answer, nil
}

// patch takes more candidates, or begins ICE anew (RFC 9725, 4.3).
func (r *Relay) patch(w http.ResponseWriter, req *http.Request, s *session) {
	body, err := readBody(w, req, typeFragment)
	if err != nil {
		r.fail(w, req, err)
		return
	}
	f, err := parseFragment(body)
	if err != nil {
		r.fail(w, req, refuse(400, "that is no fragment of SDP: "+err.Error(), ""))
		return
	}
	answer, err := s.patched(req.Context(), f, req.Header.Get("If-Match"))
	if err != nil {
		r.fail(w, req, err)
		return
	}
	s.negotiation.Lock()
	w.Header().Set("ETag", s.etag)
	s.negotiation.Unlock()
	if answer == "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", typeFragment)
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write([]byte(answer)); err != nil {
		s.end("its answer could not be sent")
	}
}

func (p *session) patched(ctx context.Context, f fragment, match string) (string, error) {
	p.negotiation.Lock()
	defer p.negotiation.Unlock()
	same := f.ufrag == iceOf(p.offer.SDP)
	switch {
	case match == "":
		return "", refuse(428, "If-Match is missing", "send the ETag that the session was made with; to begin ICE anew, *")
	case match != "*" && !matches(match, p.etag):
		return "", refuse(412, "the session has gone on: this is not its newest ETag", "begin ICE anew with If-Match: *")
	case match != "*" && !same:
		return "", refuse(412, "these are not the credentials of ICE under this ETag", "begin ICE anew with If-Match: *")
	}
	if same {
		return "", p.candidates(f)
	}
	changed, err := withICE(p.offer.SDP, f)
	if err != nil {
		return "", refuse(400, "ICE can't begin anew: "+err.Error(), "")
	}
	answer, err := p.answer(ctx, webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: changed})
	if err != nil {
		return "", err
	}
	p.added = 0
	if err := p.candidates(f); err != nil {
		return "", err
	}
	p.etag = newETag()
	return fragmentOf(answer)
}

func (p *session) candidates(f fragment) error {
	if p.added += len(f.candidates); p.added > maxCandidates {
		return refuse(400, "these are too many candidates", "")
	}
	for _, c := range f.candidates {
		if strings.Contains(c.Candidate, ".local ") {
			continue // a name that only its own network knows
		}
		if err := p.pc.AddICECandidate(c); err != nil {
			return refuse(400, "a candidate is wrong: "+err.Error(), "")
		}
	}
	return nil
}

// matches reports whether a list of entity tags holds one.
func matches(list, tag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(t) == tag {
			return true
		}
	}
	return false
}
