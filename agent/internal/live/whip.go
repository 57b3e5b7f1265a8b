package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"camseal/pkg/transport"
)

const (
	answerMax   = 64 << 10         // bytes of an answer
	answerWait  = 10 * time.Second // for the server to answer
	goodbyeWait = 5 * time.Second  // the same, for DELETE
	serversMax  = 8                // ICE servers that one answer may name
	retryMax    = 5 * time.Minute  // of a Retry-After
)

// ICEServer is a STUN or TURN server.
type ICEServer struct {
	URLs       []string
	Username   string
	Credential string
}

// refused is an answer of the server that is not a session.
type refused struct {
	err   *transport.Error
	after time.Duration // when the server wants to be asked again; 0: it does not say
}

func (r *refused) Error() string { return r.err.Error() }
func (r *refused) Unwrap() error { return r.err }

// final reports whether it takes a person to change that answer.
func (r *refused) final() bool {
	s := r.err.Status
	return s/100 != 5 && s != http.StatusTooManyRequests && s != http.StatusRequestTimeout && s != http.StatusConflict
}

// whip is one WHIP session at the server (RFC 9725).
type whip struct {
	send    func(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error)
	log     *slog.Logger
	path    string // of the session
	etag    string
	trickle bool // PATCH is understood
	servers []ICEServer
	answer  string
}

// post makes the offer. Errors: *refused; else the network's, or an answer that makes no sense.
func (w *whip) post(ctx context.Context, endpoint, offer string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	resp, err := w.send(ctx, http.MethodPost, endpoint, http.Header{"Content-Type": {"application/sdp"}, "Accept": {"application/sdp"}}, []byte(offer))
	if err != nil {
		return w.noAnswer(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		r := &refused{err: transport.ReadError(resp)}
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
			r.after = min(time.Duration(s)*time.Second, retryMax)
		}
		return r
	}
	if w.path, err = sessionPath(endpoint, resp.Header.Get("Location")); err != nil {
		return err
	}
	w.etag, w.trickle = resp.Header.Get("ETag"), true
	w.servers = iceServers(resp.Header.Values("Link"))
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	if err != nil {
		return w.noAnswer(ctx, err)
	}
	if kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); len(body) > answerMax || !strings.EqualFold(strings.TrimSpace(kind), "application/sdp") {
		return errors.New("the server's answer is no session description")
	}
	w.answer = string(body)
	return nil
}

// recodes asks whether the server codes anew what can't be carried.
func (w *whip) recodes(ctx context.Context, endpoint string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	resp, err := w.send(ctx, http.MethodOptions, endpoint, http.Header{}, nil)
	if err != nil {
		return false, w.noAnswer(ctx, err)
	}
	defer resp.Body.Close()
	return resp.StatusCode/100 == 2 && resp.Header.Get(transport.HeaderRecodes) != "", nil
}

func (w *whip) noAnswer(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the server did not answer within %v", answerWait)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the address is no news
	}
	return fmt.Errorf("the server can't be reached: %w", err)
}

// sessionPath finds a session's path at the same server, whatever host a Location names: this device speaks with its own server only.
func sessionPath(endpoint, location string) (string, error) {
	base, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("path %q: %w", endpoint, err)
	}
	ref, err := url.Parse(location)
	if err != nil || location == "" {
		return "", errors.New("the server's answer names no session")
	}
	to := base.ResolveReference(ref)
	if !strings.HasPrefix(to.EscapedPath(), "/") || strings.HasPrefix(to.EscapedPath(), "//") {
		return "", errors.New("the server's answer names no session")
	}
	return to.RequestURI(), nil
}

// patch tells the server more candidates (RFC 8840). A server that does not want them can do without: this end tries its own.
func (w *whip) patch(ctx context.Context, offer string, more []webrtc.ICECandidateInit, last bool) {
	if !w.trickle {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	h := http.Header{"Content-Type": {"application/trickle-ice-sdpfrag"}}
	if w.etag != "" {
		h.Set("If-Match", w.etag)
	}
	resp, err := w.send(ctx, http.MethodPatch, w.path, h, []byte(fragment(offer, more, last)))
	if err != nil {
		if ctx.Err() == nil {
			w.log.DebugContext(ctx, "candidates not told", slog.Any("error", err))
		}
		return
	}
	defer resp.Body.Close()
	if tag := resp.Header.Get("ETag"); tag != "" {
		w.etag = tag
	}
	if resp.StatusCode/100 != 2 {
		w.trickle = false
		w.log.DebugContext(ctx, "the server takes no candidates", slog.Int("status", resp.StatusCode))
	}
}

// delete ends the session, also after ctx has ended.
func (w *whip) delete(ctx context.Context) {
	if w.path == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeWait)
	defer cancel()
	resp, err := w.send(ctx, http.MethodDelete, w.path, http.Header{}, nil)
	if err != nil {
		w.log.DebugContext(ctx, "the live session's end is not told; the server will find out", slog.Any("error", err))
		return
	}
	resp.Body.Close()
}

// fragment writes candidates as a part of an offer: the lines that say which session they belong to, and the first medium, since all are bundled.
func fragment(offer string, more []webrtc.ICECandidateInit, last bool) string {
	var b, ice strings.Builder
	media := 0
	for line := range strings.Lines(offer) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "m="):
			if media++; media == 1 {
				ice.WriteString(line + "\r\n")
			}
		case strings.HasPrefix(line, "a=group:BUNDLE"):
			b.WriteString(line + "\r\n")
		case media == 1 && (strings.HasPrefix(line, "a=mid:") || strings.HasPrefix(line, "a=ice-ufrag:") || strings.HasPrefix(line, "a=ice-pwd:")):
			ice.WriteString(line + "\r\n")
		}
	}
	b.WriteString(ice.String())
	for _, c := range more {
		b.WriteString("a=" + c.Candidate + "\r\n")
	}
	if last {
		b.WriteString("a=end-of-candidates\r\n")
	}
	return b.String()
}

// iceServers reads the links of an answer that name STUN and TURN servers (RFC 9725, 4.6; RFC 8288). What is not well-formed is left out.
func iceServers(links []string) (all []ICEServer) {
	for _, l := range links {
		for l != "" && len(all) < serversMax {
			var target string
			var params map[string]string
			target, params, l = nextLink(l)
			scheme, _, _ := strings.Cut(target, ":")
			s := ICEServer{URLs: []string{target}, Username: params["username"], Credential: params["credential"]}
			if params["rel"] == "ice-server" && strings.Contains(" stun stuns turn turns ", " "+scheme+" ") && usable(s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// nextLink takes one link off a header.
func nextLink(l string) (target string, params map[string]string, rest string) {
	_, l, found := strings.Cut(l, "<")
	if !found {
		return "", nil, ""
	}
	target, l, _ = strings.Cut(l, ">")
	params = map[string]string{}
	for {
		l = strings.TrimLeft(l, " \t")
		if !strings.HasPrefix(l, ";") {
			_, rest, _ = strings.Cut(l, ",")
			return target, params, rest
		}
		end := strings.IndexAny(l[1:], "=;,")
		if end < 0 {
			return target, params, ""
		}
		name := strings.ToLower(strings.TrimSpace(l[1 : 1+end]))
		if l = l[1+end:]; !strings.HasPrefix(l, "=") {
			continue
		}
		var value string
		value, l = linkValue(strings.TrimLeft(l[1:], " \t"))
		if _, twice := params[name]; !twice {
			params[name] = value
		}
	}
}

// linkValue takes a token or a quoted string off.
func linkValue(l string) (value, rest string) {
	if !strings.HasPrefix(l, `"`) {
		end := strings.IndexAny(l, ";, \t")
		if end < 0 {
			end = len(l)
		}
		return l[:end], l[end:]
	}
	var b strings.Builder
	for i := 1; i < len(l); i++ {
		switch l[i] {
		case '\\':
			if i++; i < len(l) {
				b.WriteByte(l[i])
			}
		case '"':
			return b.String(), l[i+1:]
		default:
			b.WriteByte(l[i])
		}
	}
	return b.String(), ""
}
