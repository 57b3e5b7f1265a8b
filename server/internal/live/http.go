package live

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"camseal/pkg/transport"
)

// Bounds of what clients send.
const (
	maxBody  = 64 << 10
	maxMedia = 8 // sections of an offer
)

// The media types of WHIP and WHEP.
const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// refuse is a refusal in the form that agents know.
func refuse(status int, message, do string) error {
	code := transport.CodeBadRequest
	switch {
	case status == http.StatusRequestEntityTooLarge:
		code = transport.CodeTooLarge
	case status == http.StatusServiceUnavailable:
		code = transport.CodeUnavailable
	case status >= 500:
		code = transport.CodeInternal
	}
	return &transport.Error{Status: status, Code: code, Message: message, Kept: "nothing that was recorded is touched by this", Do: do}
}

// fail writes why a request was refused. What is the server's own fault goes to its log.
func (r *Relay) fail(w http.ResponseWriter, req *http.Request, err error) {
	var e *transport.Error
	if !errors.As(err, &e) {
		if req.Context().Err() == nil {
			r.cfg.Slog.ErrorContext(req.Context(), "live session not made", slog.Any("error", err))
		}
		errors.As(refuse(500, "the server could not do it", "try again; the server's log says more"), &e)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	w.WriteHeader(e.Status)
	if err := json.NewEncoder(w).Encode(e); err != nil {
		r.cfg.Slog.DebugContext(req.Context(), "answer not written", slog.Any("error", err))
	}
}

// WHIP serves the endpoint at which stream is published (RFC 9725): POST and OPTIONS. The caller has seen to it that the client may. Sessions
// are addressed by base, a slash and their id; WHIPSession serves them.
func (r *Relay) WHIP(w http.ResponseWriter, req *http.Request, stream, base string) {
	r.endpoint(w, req, stream, base, r.admitPublisher)
}

// WHEP serves the endpoint at which stream is watched (draft-ietf-wish-whep): POST and OPTIONS, as WHIP. If nothing is published it asks for it,
// waits a while, and then answers 503 with Retry-After.
func (r *Relay) WHEP(w http.ResponseWriter, req *http.Request, stream, base string) {
	r.endpoint(w, req, stream, base, r.admitViewer)
}

// admission makes a session and its answer.
type admission func(ctx context.Context, stream string, offer webrtc.SessionDescription, d *sdp.SessionDescription) (*session, string, error)

func (r *Relay) endpoint(w http.ResponseWriter, req *http.Request, stream, base string, admit admission) {
	if r.cfg.Recode {
		w.Header().Set(transport.HeaderRecodes, "yes")
	}
	switch req.Method {
	case http.MethodOptions:
		r.links(w.Header(), stream)
		w.Header().Set("Accept-Post", typeSDP)
		w.Header().Set("Allow", "OPTIONS, POST")
		w.WriteHeader(http.StatusNoContent)
		return
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "OPTIONS, POST")
		r.fail(w, req, refuse(405, "only POST and OPTIONS are understood here", ""))
		return
	}
	offer, d, err := readOffer(w, req)
	if err != nil {
		r.fail(w, req, err)
		return
	}
	s, answer, err := admit(req.Context(), stream, offer, d)
	if err != nil {
		r.fail(w, req, err)
		return
	}
	h := w.Header()
	r.links(h, stream)
	h.Set("Content-Type", typeSDP)
	h.Set("Location", strings.TrimSuffix(base, "/")+"/"+s.id)
	h.Set("ETag", s.etag)
	h.Set("Accept-Patch", typeFragment)
	w.WriteHeader(http.StatusCreated)
	if _, err := io.WriteString(w, answer); err != nil {
		s.end("its answer could not be sent")
	}
}

func readBody(w http.ResponseWriter, req *http.Request, kind string) (string, error) {
	got, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || got != kind {
		return "", refuse(415, "the content type is not "+kind, "")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	var max *http.MaxBytesError
	switch {
	case errors.As(err, &max):
		return "", refuse(413, "that is more than 64 KiB", "")
	case err != nil:
		return "", refuse(400, "the body ended early", "send it again")
	}
	return string(body), nil
}

func readOffer(w http.ResponseWriter, req *http.Request) (webrtc.SessionDescription, *sdp.SessionDescription, error) {
	offer, d := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer}, &sdp.SessionDescription{}
	body, err := readBody(w, req, typeSDP)
	if err != nil {
		return offer, d, err
	}
	if err := d.UnmarshalString(body); err != nil {
		return offer, d, refuse(400, "that is no offer: "+err.Error(), "")
	}
	if n := len(d.MediaDescriptions); n == 0 || n > maxMedia {
		return offer, d, refuse(400, "an offer has one to eight media", "")
	}
	if strings.Count(body, "\na=candidate:") > maxCandidates {
		return offer, d, refuse(400, "the offer has too many candidates", "")
	}
	for _, m := range d.MediaDescriptions {
		if kind := m.MediaName.Media; kind != "video" && kind != "audio" {
			return offer, d, refuse(400, "only pictures and sound can be offered", "")
		}
	}
	offer.SDP = body
	return offer, d, nil
}

// WHIPSession serves a publisher's session: PATCH and DELETE.
func (r *Relay) WHIPSession(w http.ResponseWriter, req *http.Request, stream, session string) {
	r.resource(w, req, r.find(stream, session, true))
}

// WHEPSession serves a viewer's session: PATCH and DELETE.
func (r *Relay) WHEPSession(w http.ResponseWriter, req *http.Request, stream, session string) {
	r.resource(w, req, r.find(stream, session, false))
}

func (r *Relay) resource(w http.ResponseWriter, req *http.Request, s *session) {
	if s == nil {
		r.fail(w, req, refuse(404, "there is no such session; it may have ended", "begin a new one"))
		return
	}
	switch req.Method {
	case http.MethodDelete:
		s.end("the client ended it")
		w.WriteHeader(http.StatusOK)
	case http.MethodPatch:
		r.patch(w, req, s)
	case http.MethodOptions:
		w.Header().Set("Allow", "DELETE, OPTIONS, PATCH")
		w.Header().Set("Accept-Patch", typeFragment)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "DELETE, OPTIONS, PATCH")
		r.fail(w, req, refuse(405, "only PATCH, DELETE and OPTIONS are understood here", ""))
	}
}
