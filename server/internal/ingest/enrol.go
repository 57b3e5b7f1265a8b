package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/transport"
	"camseal/server/internal/catalog/db"
)

const messagePatience = 30 * time.Second

// enrol serves POST /v1/enrol, from anybody who has a token.
func (h handler) enrol(c *gin.Context) {
	cert, err := h.peer(c)
	var req transport.EnrolRequest
	if err == nil {
		err = h.message(c, transport.MaxEnrol, &req)
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	h.answer(c)(h.registry.Begin(c.Request.Context(), cert, req))
}

// enrolled serves POST /v1/enrol/{id}.
func (h handler) enrolled(c *gin.Context) {
	cert, err := h.peer(c)
	var answer transport.EnrolAnswer
	if err == nil {
		err = h.message(c, transport.MaxEnrol, &answer)
	}
	if err == nil {
		err = h.caughtUp()
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	ctx, done := h.settled(c.Request.Context())
	defer done()
	h.answer(c)(h.registry.Finish(ctx, cert, c.Param("id"), answer))
}

// certificate serves POST /v1/certificate.
func (h handler) certificate(c *gin.Context) {
	cert, err := h.peer(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	dev, ok := c.MustGet(deviceKey).(db.Device)
	if !ok {
		h.fail(c, errors.New("no device authenticated"))
		return
	}
	h.answer(c)(h.registry.Renew(dev, cert))
}

// checkpoint serves GET /v1/checkpoint.
func (h handler) checkpoint(c *gin.Context) {
	raw := h.Checkpoint()
	if raw == nil {
		h.fail(c, &transport.Error{Status: 503, Code: transport.CodeUnavailable, Message: "the log has no checkpoint yet",
			Kept: "everything that was confirmed is kept", Do: "try again"})
		return
	}
	c.Data(http.StatusOK, "text/plain; charset=utf-8", raw)
}

// message reads a small message in JSON of at most limit bytes, whose members must all be known.
func (h handler) message(c *gin.Context, limit int64, v any) error {
	_ = http.NewResponseController(c.Writer).SetReadDeadline(h.Now().Add(messagePatience)) // not all connections can; then none is set
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	var max *http.MaxBytesError
	if errors.As(err, &max) {
		return refusal(413, transport.CodeTooLarge, "such a message may not be that long")
	}
	if err != nil {
		return endedEarly()
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return refusal(400, transport.CodeBadRequest, "not the message that belongs here: "+err.Error())
	}
	return nil
}
