package axis

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
)

// refusal is an answer that is no success: what happened, what was kept, what to do. 400 is never to be tried again: the body-worn system then lists
// the recording as not transferred, and keeps it for download. 503 is to be tried again soon, 507 once there is space.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refusef(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// Refusals that more than one place makes.
var (
	errNoContainer = refusef(404, "There is no such container; nothing was stored. Make it first.")
	errNoObject    = refusef(404, "There is no such object.")
	errComplete    = refusef(400, "The recording was declared complete, and what is complete is never changed; what was stored stays, and this was not stored.")
	errFull        = refusef(507, "The disk of the content destination is full; what was stored is kept, and this was not stored. Keep it and send it again later.")
	errDraining    = refusef(503, "The content destination is being stopped; what was stored is kept. Send this again later.")
	errBusy        = refusef(503, "As many uploads as are allowed at once are running; nothing was stored. Send this again soon.")
	errToken       = refusef(401, "The token is missing, wrong, or has expired. Sign in again.")
	errAccount     = refusef(403, "This is not your account; nothing was changed.")
	errSignIn      = refusef(401, "User or key is wrong.")
	errAttempts    = refusef(429, "Too many wrong keys from this address. Wait a minute.")
	errUnsupported = refusef(400, "This part of Swift is not supported here; nothing was changed.")
	errMethod      = refusef(405, "This method is not supported here; nothing was changed. What was stored goes only on proof that it is archived.")
	errUnread      = refusef(403, "Recordings are not given out here; read them at the server.")
	errSilent      = refusef(408, "The sender was silent for too long; the object was not stored. Send it again.")
	errLength      = refusef(411, "The length of the object must be given, or its transfer be chunked; nothing was stored.")
)

// answerError writes a refusal, and logs what is not the sender's doing.
func (d *Destination) answerError(w http.ResponseWriter, r *http.Request, err error) {
	var no *refusal
	if !errors.As(err, &no) {
		no = &refusal{500, "The content destination had an error; what was stored is kept, and this was not stored. Send it again later."}
	}
	level := slog.LevelInfo
	switch {
	case r.Context().Err() != nil: // the sender is gone
	case no.status >= 500 && no.status != 503:
		level = slog.LevelError
	case no.status == 400 || no.status == 429:
		level = slog.LevelWarn
	}
	d.Log.Log(r.Context(), level, "refused", slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.Int("status", no.status),
		slog.String("why", err.Error()), slog.String("from", r.RemoteAddr))
	switch no.status {
	case 401:
		w.Header().Set("Www-Authenticate", `Swift realm="camseal"`)
	case 405:
		w.Header().Set("Allow", "GET, HEAD, PUT, POST")
	case 429, 503:
		w.Header().Set("Retry-After", "30")
	}
	http.Error(w, no.text, no.status)
}
