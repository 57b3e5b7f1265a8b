package web

import (
	"io/fs"
	"net/http"
	"path"
	"slices"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
)

// Route is an address of the page and what one must be allowed to do to use it.
type Route struct {
	Method, Path string
	May          auth.Permission
	handle       gin.HandlerFunc
}

// routes are all addresses. Each area of the pages has its own function.
func (s *site) routes() []Route {
	return slices.Concat(
		s.commonRoutes(),
		s.signInRoutes(),
		s.providerRoutes(),
		s.peopleRoutes(),
		s.searchRoutes(),
		s.recordingRoutes(),
		s.checkedRoutes(),
		s.damageRoutes(),
		s.growingRoutes(),
		s.playerRoutes(),
		s.mediaRoutes(),
		s.caseRoutes(),
		s.calendarRoutes(),
		s.custodyRoutes(),
		s.retentionRoutes(),
		s.fleetRoutes(),
		s.liveRoutes(),
	)
}

// Routes are all addresses of the page, with who may use them.
func Routes() []Route { return (&site{}).routes() }

func (s *site) commonRoutes() []Route {
	return []Route{
		{"GET", "/style.css", auth.Anybody, s.css},
		{"GET", "/js/:name", auth.Anybody, s.script},
	}
}

func (s *site) recordingRoutes() []Route {
	return []Route{
		{"GET", "/unrecorded", auth.SeeRecordings, s.unrecordedPage},
		{"GET", "/recordings/:rec", auth.SeeRecordings, s.recording},
		{"GET", "/recordings/:rec/original", auth.SeeRecordings, s.original},
		{"HEAD", "/recordings/:rec/original", auth.SeeRecordings, s.original},
		{"POST", "/recordings/:rec/bundle", auth.Export, s.bundle},
		{"POST", "/recordings/:rec/purpose", auth.SeeRecordings, s.choosePurpose},
	}
}

// styles joins the style sheets of all areas, in the order of their names.
func styles() ([]byte, error) {
	names, err := fs.Glob(files, "static/*.css")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []byte
	for _, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, raw...)
	}
	return all, nil
}

// script serves a module of static/js.
func (s *site) script(c *gin.Context) { s.serveScript(c, c.Param("name")) }

func (s *site) serveScript(c *gin.Context, name string) {
	raw, err := files.ReadFile(path.Join("static/js", path.Base(path.Clean("/"+name))))
	if err != nil {
		s.sorry(c, http.StatusNotFound, "no-page")
		return
	}
	c.Header("Cache-Control", "no-cache")
	c.Header("Content-Security-Policy", scriptPolicy)
	c.Data(http.StatusOK, "text/javascript; charset=utf-8", raw)
}
