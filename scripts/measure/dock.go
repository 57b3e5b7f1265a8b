package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	recorders = 8
	perCard   = 128 << 20
	manySlots = 24
	fewBytes  = 24 << 20
	kiosk     = "127.0.0.1:18085"
)

// docking measures recorders that are docked at once: images on loop devices, from being plugged in until all is read, and until all is stored, against as
// many openssl dgst at once over the same mounts, and against rclone, which is the bound of the upload.
func docking(p *place) ([]row, error) {
	images, err := p.cards(recorders, perCard)
	if err != nil {
		return nil, err
	}
	const total = recorders * perCard / 1e6
	var hash, copies, read, stored, ratios []float64
	for i := range runs {
		h, c, err := p.plain(images, fmt.Sprintf("plain-%d", i))
		if err != nil {
			return nil, err
		}
		d, err := p.dock(fmt.Sprintf("dock-%d", i), images)
		if err != nil {
			return nil, err
		}
		hash, copies = append(hash, total/h.Seconds()), append(copies, total/c.Seconds())
		read, stored = append(read, total/d.read.Seconds()), append(stored, total/d.stored.Seconds())
		ratios = append(ratios, stored[i]/min(hash[i], copies[i]))
	}
	if err := removeAll(images); err != nil {
		return nil, err
	}
	if images, err = p.cards(manySlots, fewBytes); err != nil {
		return nil, err
	}
	many, err := p.dock("many", images)
	if err != nil {
		return nil, err
	}
	spoken, err := speech(p)
	if err != nil {
		return nil, err
	}
	rows := []row{
		figure("8 recorders docked at once, 1 GiB: copied and sealed", "%.0f MB/s (runs: %.0f)", median(read), read),
		figure("the same: stored", "%.0f MB/s (runs: %.0f)", median(stored), stored),
		figure("8 openssl dgst -sha256 at once over the same mounts", "%.0f MB/s (runs: %.0f)", median(hash), hash),
		figure("the upload's bound: rclone from the same mounts into versitygw, 8 transfers", "%.0f MB/s (runs: %.0f)", median(copies), copies),
		target("stored against the lower of the two", fmt.Sprintf("%.2f (runs: %.2f)", median(ratios), ratios), "at least 0.9", median(ratios) >= 0.9),
		target("peak RssAnon of the agent, 24 slots at once", fmt.Sprintf("%.0f MiB", float64(many.agent)/(1<<20)), "under 256 MiB", many.agent < 256<<20),
		figure("peak RssAnon of the bridge, 24 slots", "%.0f MiB", float64(many.bridge)/(1<<20)),
		target("first paint of the dock's page in Chromium, 24 slots", fmt.Sprintf("%.0f ms (cold and then: %.0f)", median(many.paint), many.paint), "under 1000 ms", median(many.paint) < 1000),
	}
	for _, r := range spoken {
		if r.What == spokenTime {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func removeAll(paths []string) error {
	for _, f := range paths {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return nil
}

// cards makes media: ext4, since this kernel may have nothing else, each with one file.
func (p *place) cards(n int, size int64) (images []string, err error) {
	for i := range n {
		from := p.path("card")
		if err := footage(from, 1, size); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("NOR_%07d_011314_20261120093000_0001.MP4", i+1)
		if err := os.Rename(filepath.Join(from, "VID_0000.MP4"), filepath.Join(from, name)); err != nil {
			return nil, err
		}
		image := p.path(fmt.Sprintf("card-%d-%d.img", size, i))
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			return nil, err
		}
		if err := os.Truncate(image, size+size/8+(8<<20)); err != nil {
			return nil, err
		}
		if _, err := p.do(nil, "mkfs.ext4", "-q", "-O", "^has_journal", "-d", from, image); err != nil {
			return nil, err
		}
		if err := os.RemoveAll(from); err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}

// cold empties the page cache, so that everybody reads from the medium.
func cold() error {
	return exec.Command("sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches").Run()
}

// plain hashes, and then copies into S3, what the images hold, mounted as a bridge mounts them.
func (p *place) plain(images []string, name string) (hash, upload time.Duration, err error) {
	dir := p.path("footage")
	var files []string
	for i, image := range images {
		at := filepath.Join(dir, fmt.Sprint(i))
		if err := os.MkdirAll(at, 0o755); err != nil {
			return 0, 0, err
		}
		if _, err := p.do(nil, "mount", "-o", "loop,ro,nosuid,nodev,noexec,noatime", image, at); err != nil {
			return 0, 0, err
		}
		defer func() {
			if errUnmount := exec.Command("umount", at).Run(); err == nil {
				err = errUnmount
			}
		}()
		found, err := filepath.Glob(filepath.Join(at, "*.MP4"))
		if err != nil {
			return 0, 0, err
		}
		files = append(files, found...)
	}
	if err := cold(); err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	errs := make([]error, len(files))
	var all sync.WaitGroup
	for i, f := range files {
		all.Go(func() { errs[i] = exec.Command("openssl", "dgst", "-sha256", f).Run() })
	}
	all.Wait()
	hash = time.Since(begin)
	for _, err := range errs {
		if err != nil {
			return 0, 0, err
		}
	}
	if err := cold(); err != nil {
		return 0, 0, err
	}
	upload, err = p.rclone(name, "--transfers", "8", "--include", "*.MP4")
	return hash, upload, err
}

// docked is how long it took from plugging in, and the peaks of memory.
type docked struct {
	read, stored  time.Duration
	agent, bridge int64
	paint         []float64 // milliseconds
}

// dock docks images at once.
func (p *place) dock(name string, images []string) (d docked, err error) {
	dir := p.path(name)
	sys, err := p.enrolled(dir, nil)
	if err != nil {
		return d, err
	}
	defer sys.stop()
	loops, free, err := p.loops(len(images))
	if err != nil {
		return d, err
	}
	socket, mounts := filepath.Join(dir, "b.sock"), filepath.Join(dir, "mounts")
	args := []string{"run", "--socket", socket, "--mounts", mounts, "--state", filepath.Join(dir, "bridge"), "--agent-user", "root"}
	for i, loop := range loops {
		args = append(args, "--slots", fmt.Sprintf("%d=%s", i+1, filepath.Base(loop)))
	}
	bridge, err := p.start(nil, "camseal-bridge", args...)
	if err != nil {
		return d, err
	}
	defer free()
	defer bridge.stop()
	if err := until("the bridge", func() bool { _, err := os.Stat(socket); return err == nil }); err != nil {
		return d, fmt.Errorf("%w\n%s", err, bridge.out.Bytes())
	}
	agent, err := p.start(nil, "camseal-agent", append([]string{"run", "--bridges", socket, "--readers", "4", "--speech", "none", "--kiosk", kiosk}, sys.flags...)...)
	if err != nil {
		return d, err
	}
	defer agent.stop()
	ask := statusOf(filepath.Join(dir, "agent", "agent.sock"))
	if err := until("the agent", func() bool { _, _, err := ask(); return err == nil }); err != nil {
		return d, fmt.Errorf("%w\n%s", err, agent.out.Bytes())
	}
	if err := cold(); err != nil {
		return d, err
	}
	begin := time.Now()
	for i, loop := range loops {
		if err := exec.Command("losetup", "-r", loop, images[i]).Run(); err != nil {
			return d, fmt.Errorf("losetup %s: %w", loop, err)
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		read, stored, err := ask()
		if err != nil {
			return d, fmt.Errorf("%w\n%s", err, agent.out.Bytes())
		}
		if read == len(images) && d.read == 0 {
			d.read = time.Since(begin)
		}
		if stored == len(images) {
			break
		}
		if time.Since(begin) > 5*time.Minute {
			return d, fmt.Errorf("%d of %d were read, %d stored\n%s", read, len(images), stored, agent.out.Bytes())
		}
	}
	d.stored = time.Since(begin)
	d.agent, d.bridge = agent.peak, bridge.peak
	if len(images) == manySlots {
		d.paint, err = p.paints("http://"+kiosk+"/", 5)
	}
	return d, err
}

// loops takes n loop devices that nothing uses; free detaches them, once nothing is mounted from them any more.
func (p *place) loops(n int) (loops []string, free func(), err error) {
	free = func() {
		for _, l := range loops {
			_ = exec.Command("losetup", "-d", l).Run() // some are empty
		}
	}
	hold := p.path("hold")
	if err := os.WriteFile(hold, make([]byte, 4096), 0o600); err != nil {
		return nil, free, err
	}
	for range n { // held by an empty file each, so that the next is another
		out, err := exec.Command("losetup", "--find", "--show", hold).Output()
		if err != nil {
			return loops, free, fmt.Errorf("losetup: %w", err)
		}
		loops = append(loops, strings.TrimSpace(string(out)))
	}
	free()
	return loops, free, nil
}

// statusOf asks a running agent how many recorders are copied and sealed, and how many stored.
func statusOf(socket string) func() (read, stored int, err error) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	return func() (read, stored int, err error) {
		resp, err := client.Get("http://agent/status")
		if err != nil {
			return 0, 0, err
		}
		defer resp.Body.Close()
		var st struct {
			Dock struct {
				Tiles []struct {
					State               string
					Files, Done, Stored int
				}
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
			return 0, 0, err
		}
		for _, t := range st.Dock.Tiles {
			if t.Files > 0 && t.Done == t.Files && t.State != "reading" && t.State != "empty" {
				read++
			}
			if t.Files > 0 && t.Stored == t.Files {
				stored++
			}
		}
		return read, stored, nil
	}
}
