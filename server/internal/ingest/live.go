package ingest

import "github.com/gin-gonic/gin"

const routeWHIP = "/live/whip" // below /v1

// whip lets a device publish the stream that has its name.
func (h handler) whip(c *gin.Context) {
	id, err := h.device(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	_, done := h.patient(c)
	defer done()
	h.Live.WHIP(c.Writer, c.Request, id.String(), "/v1"+routeWHIP)
}

func (h handler) whipSession(c *gin.Context) {
	id, err := h.device(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	_, done := h.patient(c)
	defer done()
	h.Live.WHIPSession(c.Writer, c.Request, id.String(), c.Param("session"))
}
