package ingest

import (
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/devices"
)

// smallBatch is how many bytes a batch of statements may have to be read at any time, as a device on a narrow link sends it; of larger ones only some
// are read at once.
const smallBatch = 128 << 10

// Handler serves the agents' routes of package transport. The connection must be TLS with a client certificate.
func (s *Service) Handler(registry *devices.Registry) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.Use(s.recoverPanics)
	r.NoRoute(func(c *gin.Context) { s.fail(c, refusal(404, transport.CodeBadRequest, "no such address")) })
	r.NoMethod(func(c *gin.Context) { s.fail(c, refusal(405, transport.CodeBadRequest, "no such method here")) })
	h := handler{Service: s, registry: registry}
	r.POST("/v1/enrol", h.enrol)
	r.POST("/v1/enrol/:id", h.enrolled)
	v1 := r.Group("/v1", h.authenticate)
	v1.POST("/certificate", h.certificate)
	v1.GET("/checkpoint", h.checkpoint)
	v1.GET("/head", h.head)
	v1.GET("/register", h.register)
	v1.POST("/known", h.known)
	v1.POST("/statements", h.statements)
	v1.POST("/orders", h.orders)
	v1.PUT("/recordings/:rec/chunks/:index", h.chunk)
	v1.POST("/recordings/:rec/stored", h.stored)
	v1.Match([]string{http.MethodPost, http.MethodOptions}, routeWHIP, h.whip)
	v1.Match([]string{http.MethodPatch, http.MethodDelete, http.MethodOptions}, routeWHIP+"/:session", h.whipSession)
	return r
}

type handler struct {
	*Service
	registry *devices.Registry
}

const deviceKey = "device"

// peer is the certificate that the client showed, having proved that it holds its key.
func (h handler) peer(c *gin.Context) (*x509.Certificate, error) {
	if c.Request.TLS == nil || len(c.Request.TLS.PeerCertificates) == 0 {
		return nil, refusal(403, transport.CodeUnknownDevice, "no client certificate")
	}
	return c.Request.TLS.PeerCertificates[0], nil
}

func (h handler) authenticate(c *gin.Context) {
	cert, err := h.peer(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	dev, err := h.registry.Authenticate(c.Request.Context(), cert)
	if err != nil {
		h.fail(c, err)
		return
	}
	c.Set(deviceKey, dev)
}

// device is the authenticated device.
func (h handler) device(c *gin.Context) (evidence.DeviceID, error) {
	dev, ok := c.MustGet(deviceKey).(db.Device)
	if !ok {
		return evidence.DeviceID{}, errors.New("no device authenticated")
	}
	return evidence.ParseDeviceID(dev.Device)
}

func (h handler) head(c *gin.Context) {
	id, err := h.device(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.answer(c)(h.Head(c.Request.Context(), id))
}

func (h handler) statements(c *gin.Context) {
	id, err := h.device(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	if size := c.Request.ContentLength; size < 0 || size > smallBatch {
		select {
		case h.bodies <- struct{}{}:
			defer func() { <-h.bodies }()
		case <-c.Request.Context().Done():
			h.fail(c, c.Request.Context().Err())
			return
		}
	}
	body, err := h.body(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.answer(c)(h.Statements(c.Request.Context(), id, body))
}

func (h handler) body(c *gin.Context) ([]byte, error) {
	tooLarge := refusal(413, transport.CodeTooLarge, "a batch of statements may have "+strconv.Itoa(transport.MaxBatch)+" bytes")
	if c.Request.ContentLength > transport.MaxBatch {
		return nil, tooLarge
	}
	_, done := h.patient(c)
	defer done()
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, transport.MaxBatch))
	var max *http.MaxBytesError
	if errors.As(err, &max) {
		return nil, tooLarge
	}
	if err != nil {
		return nil, endedEarly()
	}
	return body, nil
}

func (h handler) chunk(c *gin.Context) {
	id, err := h.device(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	rec, err := evidence.ParseRecordingID(c.Param("rec"))
	if err != nil {
		h.fail(c, refusal(400, transport.CodeBadRequest, "recording id: "+err.Error()))
		return
	}
	index, err := strconv.ParseUint(c.Param("index"), 10, 53)
	if err != nil || strconv.FormatUint(index, 10) != c.Param("index") {
		h.fail(c, refusal(400, transport.CodeBadRequest, "chunk index"))
		return
	}
	if c.Request.ContentLength > transport.MaxChunk {
		h.fail(c, refusal(413, transport.CodeTooLarge, "a chunk may have "+strconv.Itoa(transport.MaxChunk)+" bytes"))
		return
	}
	ctx, done := h.patient(c)
	defer done()
	err = h.Chunk(ctx, id, rec, index, c.Request.ContentLength, c.Request.Body)
	if c.GetHeader("Expect") == "" && !cut(err) {
		// Who did not ask first is sending now, and would lose the answer if the connection were closed on the bytes.
		if _, drain := io.Copy(io.Discard, io.LimitReader(c.Request.Body, transport.MaxChunk)); drain != nil && err == nil {
			err = drain
		}
	}
	if err != nil {
		if cut(err) {
			err = endedEarly()
		}
		h.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// endedEarly is seen by hardly anybody: the connection is gone.
func endedEarly() error {
	return &transport.Error{Status: 503, Code: transport.CodeUnavailable, Message: "the body ended early", Kept: "everything that was confirmed is kept",
		Do: "send it again"}
}

func cut(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }

func (h handler) stored(c *gin.Context) {
	id, err := h.device(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	rec, err := evidence.ParseRecordingID(c.Param("rec"))
	if err != nil {
		h.fail(c, refusal(400, transport.CodeBadRequest, "recording id: "+err.Error()))
		return
	}
	h.answer(c)(h.Stored(c.Request.Context(), id, rec))
}

// answer writes a value, or what went wrong.
func (h handler) answer(c *gin.Context) func(v any, err error) {
	return func(v any, err error) {
		if err != nil {
			h.fail(c, err)
			return
		}
		c.JSON(http.StatusOK, v)
	}
}

// fail writes a refusal. What is the server's own fault goes to its log, and to the device only in general words.
func (s *Service) fail(c *gin.Context, err error) {
	e, known := AsRefusal(err)
	if !known {
		s.Slog.ErrorContext(c.Request.Context(), "request not finished", slog.String("route", c.FullPath()), slog.Any("error", err))
	}
	c.AbortWithStatusJSON(e.Status, e)
}

func (s *Service) recoverPanics(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			s.Slog.ErrorContext(c.Request.Context(), "request not finished", slog.String("route", c.FullPath()), slog.Any("panic", p))
			s.fail(c, errors.New("panic"))
		}
	}()
	c.Next()
}
