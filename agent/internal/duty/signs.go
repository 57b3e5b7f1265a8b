package duty

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// linkKinds are the links that are told apart.
var linkKinds = []string{"wifi", "mobile", "dock"}

// CheckLink says what is wrong with a configured link.
func CheckLink(link string) error {
	if file, auto := strings.CutPrefix(link, "auto:"); slices.Contains(linkKinds, link) || auto && file != "" {
		return nil
	}
	return fmt.Errorf("%q is none of wifi, mobile, dock and auto:FILE", link)
}

const linkEvery = 2 * time.Second

// links follows which link is used, and tells the uplink.
func (d *Duty) links(ctx context.Context) {
	file, auto := strings.CutPrefix(d.Link, "auto:")
	if !auto {
		d.useLink(d.Link)
		return
	}
	tick := time.NewTicker(linkEvery)
	defer tick.Stop()
	for {
		kind, err := readLink(file)
		if err != nil {
			d.trouble("link", fmt.Sprintf("which link is used can't be read: %v; it is taken for mobile, the narrowest", err))
			kind = "mobile"
		} else {
			d.trouble("link", "")
		}
		d.useLink(kind)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func readLink(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var word [64]byte
	n, err := f.Read(word[:])
	if n == 0 && err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	kind := strings.TrimSpace(string(word[:n]))
	if !slices.Contains(linkKinds, kind) {
		return "", fmt.Errorf("%s says %q, not wifi, mobile or dock", file, clean(kind, 20))
	}
	return kind, nil
}

func (d *Duty) useLink(kind string) {
	d.mu.Lock()
	same := d.link == kind
	d.mu.Unlock()
	if same {
		return
	}
	d.SetLink(kind)
	d.update(func() { d.link = kind })
}

const indicateEvery = 5 * time.Second

// indicate keeps the indicator as it should be, and off at the end.
func (d *Duty) indicate(ctx context.Context) {
	if d.Indicator == "" {
		return
	}
	tick := time.NewTicker(indicateEvery) // what else changes the file does not last
	defer tick.Stop()
	shown := !d.isWatched()
	for {
		changed := d.Changed()
		if on := d.isWatched(); on != shown {
			d.show(on)
			shown = on
		}
		select {
		case <-ctx.Done():
			d.show(false)
			return
		case <-changed:
		case <-tick.C:
			d.show(shown)
		}
	}
}

func (d *Duty) isWatched() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.watched > 0
}

func (d *Duty) show(on bool) {
	word := "0\n"
	if on {
		word = "1\n"
	}
	f, err := os.OpenFile(d.Indicator, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(word)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.trouble("indicator", fmt.Sprintf("the indicator of live viewing can't be set: %v; the recorder's page shows it all the same", err))
		return
	}
	d.trouble("indicator", "")
}
