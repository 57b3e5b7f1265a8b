package axis

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP answers the subset of Swift that body-worn systems use.
func (d *Destination) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var late time.Time
	if r.Method == http.MethodGet { // who does not take a listing holds a connection
		late = d.Now().Add(d.Idle)
	}
	if err := http.NewResponseController(w).SetWriteDeadline(late); err != nil {
		d.answerError(w, r, err)
		return
	}
	if err := d.route(w, r); err != nil {
		d.answerError(w, r, err)
	}
}

// request is one that bears a valid token.
type request struct {
	*http.Request
	account, container, object string
}

func (d *Destination) route(w http.ResponseWriter, r *http.Request) error {
	path := r.URL.EscapedPath()
	switch {
	case d.draining.Load():
		return errDraining
	case strings.TrimSuffix(path, "/") == "/auth/v1.0":
		return d.signIn(w, r)
	}
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return refusef(404, "There is nothing here. Sign in at /auth/v1.0.")
	}
	user, err := d.user(r)
	if err != nil {
		return err
	}
	parts := strings.SplitN(rest, "/", 3)
	for i, p := range parts {
		if parts[i], err = url.PathUnescape(p); err != nil {
			return refusef(400, "The address can't be read: %v. Nothing was changed.", err)
		}
	}
	if parts[0] != accountPrefix+user {
		return errAccount
	}
	q := request{Request: r, account: user}
	if len(parts) > 1 {
		q.container = parts[1]
	}
	if len(parts) > 2 {
		q.object = parts[2]
	}
	return d.dispatch(w, q)
}

func (d *Destination) dispatch(w http.ResponseWriter, q request) error {
	read := q.Method == http.MethodGet || q.Method == http.MethodHead
	switch {
	case q.Method != http.MethodPut && q.Method != http.MethodPost && !read:
		return errMethod
	case !read && q.URL.RawQuery != "":
		return errUnsupported // large objects, archives, bulk deletion
	case q.container == "" && q.object == "":
		if !read {
			return errMethod
		}
		return d.account(w, q)
	}
	if err := checkName("container", q.container, maxContainerName); err != nil {
		return err
	}
	if strings.Contains(q.container, "/") {
		return refusef(400, "The name of the container contains a slash.")
	}
	if q.object == "" {
		return d.containerRequest(w, q)
	}
	if err := checkName("object", q.object, maxObjectName); err != nil {
		return err
	}
	return d.objectRequest(w, q)
}

func (d *Destination) containerRequest(w http.ResponseWriter, q request) error {
	if q.Method == http.MethodGet || q.Method == http.MethodHead {
		return d.listObjects(w, q)
	}
	change, err := metaOf(q.Header, "X-Container-Meta-", "X-Remove-Container-Meta-")
	if err != nil {
		return err
	}
	made, err := d.putContainer(q.account, q.container, d.Now().UnixMilli(), q.Method == http.MethodPost, func(c *container) error {
		if !c.complete() {
			return c.Meta.merge(change)
		}
		for k, v := range change { // the same said again is answered as before
			if c.Meta[k] != v && k != "status" {
				return errComplete
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case q.Method == http.MethodPost:
		w.WriteHeader(http.StatusNoContent)
	case made:
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
	return nil
}

func (d *Destination) objectRequest(w http.ResponseWriter, q request) error {
	dir := d.containerDir(q.account, q.container)
	own := ownObject(q.container, q.object)
	if own != nil && (q.Method == http.MethodPut || q.Method == http.MethodPost) {
		return refusef(403, "This object is the destination's own; nothing was changed.")
	}
	switch q.Method {
	case http.MethodPut:
		return d.putBytes(w, q, dir)
	case http.MethodPost:
		m, err := metaOf(q.Header, "X-Object-Meta-", "")
		if err != nil {
			return err
		}
		if err := d.postObject(dir, q.object, m.given()); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	if own != nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Etag", hash5(own))
		w.Header().Set("Content-Length", strconv.Itoa(len(own)))
		if q.Method == http.MethodGet {
			_, _ = w.Write(own) // who asked is gone if this fails
		}
		return nil
	}
	return d.getObject(w, q, dir)
}

// getObject answers HEAD for any object, and GET for what a system says of itself: the key of a body-worn system opens no recording.
func (d *Destination) getObject(w http.ResponseWriter, q request, dir string) error {
	o, err := d.object(dir, q.object)
	if errors.Is(err, errNoObject) {
		if _, err := d.container(dir); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	h := w.Header()
	o.Meta.write(h, "X-Object-Meta-")
	h.Set("Content-Type", o.Type)
	h.Set("Etag", o.MD5)
	h.Set("Last-Modified", time.UnixMilli(o.Received).UTC().Format(http.TimeFormat))
	h.Set("X-Timestamp", swiftTime(o.Received))
	if q.Method == http.MethodHead {
		h.Set("Content-Length", strconv.FormatInt(o.Size, 10))
		return nil
	}
	if !special(q.container) {
		return errUnread
	}
	f, err := os.Open(filepath.Join(dir, "parts", o.Part))
	if err != nil {
		return err
	}
	defer f.Close()
	http.ServeContent(w, q.Request, "", time.Time{}, f)
	return nil
}

// capabilities are what the destination can take: bookmarks, users' own identifiers, signed video, GPS trails, and the id that ties a system to it.
var capabilities = []byte(`{"Read":{},"Store":{"StoreBookmarks":true,"StoreUserIDKey":true,"StoreSignedVideo":true,"StoreGNSSTrackRecording":true},"StoreAndRead":{"StoreReadSystemID":true}}`)

// ownObject returns what the destination itself says under a name. Both names are in the API's text.
func ownObject(container, name string) []byte {
	if container == "System" && (name == "Capabilities.json" || name == "Capability.json") {
		return capabilities
	}
	return nil
}

func hash5(b []byte) string {
	h := md5.Sum(b)
	return hex.EncodeToString(h[:])
}

// swiftTime is seconds since 1970 with five digits behind the point.
func swiftTime(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 5, 64) }
