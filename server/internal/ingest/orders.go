package ingest

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/transport"
)

// orders serves POST /v1/orders: the answer waits until there is something to say.
func (h handler) orders(c *gin.Context) {
	id, err := h.device(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	var report transport.Report
	if err := h.message(c, transport.MaxReport, &report); err != nil {
		h.fail(c, err)
		return
	}
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{}) // it was the body's; now a device that hangs up is all there is to read
	h.answer(c)(h.Poll(c.Request.Context(), id, report))
}
