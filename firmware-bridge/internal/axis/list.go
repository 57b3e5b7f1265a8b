package axis

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPage bounds a listing (Swift's own limit).
const maxPage = 10_000

// page is which part of a listing is asked for.
type page struct {
	prefix, after, until string
	limit                int
	json                 bool
}

func pageOf(q url.Values, accept string) (page, error) {
	p := page{prefix: q.Get("prefix"), after: q.Get("marker"), until: q.Get("end_marker"), limit: maxPage,
		json: q.Get("format") == "json" || q.Get("format") == "" && strings.Contains(accept, "application/json")}
	for k := range q {
		if !slices.Contains([]string{"prefix", "marker", "end_marker", "limit", "format"}, k) {
			return p, refusef(400, "A listing by %q is not supported here.", k)
		}
	}
	if f := q.Get("format"); f != "" && f != "json" && f != "plain" {
		return p, refusef(400, "A listing as %q is not supported here; json and plain are.", f)
	}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 0 || n > maxPage {
			return p, refusef(400, "A listing's limit is between 0 and %d.", maxPage)
		}
		p.limit = n
	}
	return p, nil
}

// cut sorts names and returns those of the page.
func (p page) cut(names []string) []string {
	names = slices.DeleteFunc(names, func(n string) bool {
		return !strings.HasPrefix(n, p.prefix) || n <= p.after || p.until != "" && n >= p.until
	})
	slices.Sort(names)
	return names[:min(len(names), p.limit)]
}

// item is a line of a listing as JSON has it.
type item struct {
	Name     string  `json:"name"`
	Count    *int64  `json:"count,omitempty"` // of a container
	Bytes    int64   `json:"bytes"`
	Hash     *string `json:"hash,omitempty"`         // of an object
	Type     *string `json:"content_type,omitempty"` //
	Modified string  `json:"last_modified"`
}

func (p page) write(w http.ResponseWriter, items []item) error {
	if p.json {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if items == nil {
			items = []item{}
		}
		return json.NewEncoder(w).Encode(items)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(items) == 0 {
		w.WriteHeader(http.StatusNoContent)
	}
	var b strings.Builder
	for _, i := range items {
		b.WriteString(i.Name + "\n")
	}
	_, err := w.Write([]byte(b.String()))
	if errors.Is(err, http.ErrBodyNotAllowed) && len(items) == 0 {
		return nil
	}
	return err
}

func listed(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000000") }

// totals counts a container's objects and bytes.
func (s *store) totals(dir string, c container) (objects, bytes int64, err error) {
	if c.complete() {
		return c.Objects, c.Bytes, nil
	}
	err = s.each(dir, func(o object) error {
		objects++
		bytes += o.Size
		return nil
	})
	return objects, bytes, err
}

// account answers HEAD and GET of an account.
func (d *Destination) account(w http.ResponseWriter, q request) error {
	p, err := pageOf(q.URL.Query(), q.Header.Get("Accept"))
	if err != nil {
		return err
	}
	dirs := map[string]string{}
	entries, err := os.ReadDir(d.accountDir(q.account))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(d.accountDir(q.account), e.Name())
		name, ok := nameOf(e.Name())
		if !ok {
			c, err := d.container(dir)
			if errors.Is(err, errNoContainer) {
				continue
			}
			if err != nil {
				return err
			}
			name = c.Name
		}
		dirs[name] = dir
	}
	var items []item
	var objects, bytes int64
	names := make([]string, 0, len(dirs))
	for n := range dirs {
		names = append(names, n)
	}
	for _, n := range p.cut(names) {
		c, err := d.container(dirs[n])
		if errors.Is(err, errNoContainer) { // it is just being made
			continue
		}
		if err != nil {
			return err
		}
		count, size, err := d.totals(dirs[n], c)
		if err != nil {
			return err
		}
		objects, bytes = objects+count, bytes+size
		items = append(items, item{Name: n, Count: &count, Bytes: size, Modified: listed(c.Created)})
	}
	h := w.Header()
	h.Set("X-Account-Container-Count", strconv.Itoa(len(dirs)))
	h.Set("X-Account-Object-Count", strconv.FormatInt(objects, 10))
	h.Set("X-Account-Bytes-Used", strconv.FormatInt(bytes, 10))
	if q.Method == http.MethodHead {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return p.write(w, items)
}

// listObjects answers HEAD and GET of a container.
func (d *Destination) listObjects(w http.ResponseWriter, q request) error {
	p, err := pageOf(q.URL.Query(), q.Header.Get("Accept"))
	if err != nil {
		return err
	}
	dir := d.containerDir(q.account, q.container)
	c, err := d.container(dir)
	if err != nil {
		return err
	}
	var names []string
	known := map[string]object{}
	var bytes int64
	err = d.each(dir, func(o object) error {
		names = append(names, o.Name)
		bytes += o.Size
		o.Meta = nil
		known[o.Name] = o
		return nil
	})
	if err != nil {
		return err
	}
	h := w.Header()
	c.Meta.write(h, "X-Container-Meta-")
	h.Set("X-Container-Object-Count", strconv.Itoa(len(names)))
	h.Set("X-Container-Bytes-Used", strconv.FormatInt(bytes, 10))
	h.Set("X-Timestamp", swiftTime(c.Created))
	if q.Method == http.MethodHead {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	var items []item
	for _, n := range p.cut(names) {
		o := known[n]
		items = append(items, item{Name: n, Bytes: o.Size, Hash: &o.MD5, Type: &o.Type, Modified: listed(o.Received)})
	}
	return p.write(w, items)
}
