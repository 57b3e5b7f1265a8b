package app

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/media"
)

const samples = "/usr/share/forensics-samples/original-files/"

// generated is a file that ffmpeg makes of its test pictures.
func generated(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("ffmpeg", append(append([]string{"-nostdin", "-loglevel", "error"}, args...), path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return read(t, path)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return b
}

// send takes a file in and has it stored.
func send(t *testing.T, r *rig, d *device, name, mediaType string, b []byte) evidence.RecordingID {
	t.Helper()
	head, err := d.client(r).head()
	check(t, err)
	from := uint64(0)
	if head.Seq != nil {
		from = *head.Seq + 1
	}
	rec := d.take(name, mediaType, evidence.WhyComplete, b)
	_, err = d.client(r).statements(d.batch(from, evidence.MaxInt))
	check(t, err)
	_, err = d.client(r).putAll(d, rec)
	check(t, err)
	return rec
}

// await waits until ok says so, at most so long.
func await(t *testing.T, r *rig, what string, long time.Duration, ok func() bool) {
	t.Helper()
	tick, end := time.NewTicker(50*time.Millisecond), time.After(long)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within %v", what, long)
		}
	}
}

// looked waits until a recording was looked into as often as it will be, and returns what was found.
func looked(t *testing.T, r *rig, d *device, rec evidence.RecordingID) (row db.Medium) {
	t.Helper()
	await(t, r, "look into "+rec.String(), 3*time.Minute, func() (done bool) {
		var err error
		row, err = r.core.catalog.Media(context.Background(), d.id().String(), rec.String())
		return err == nil && row.Failure != media.FailureInterrupted
	})
	return row
}

func withMedia(s *settings) { s.MediaWorkers = 1 }

func picture(t *testing.T, r *rig, path string) image.Image {
	t.Helper()
	status, h, body, err := r.get(path)
	check(t, err)
	if status != 200 || h.Get("Content-Type") != "image/jpeg" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox;") || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("%s: %d %v", path, status, h)
	}
	img, err := jpeg.Decode(bytes.NewReader(body))
	check(t, err)
	return img
}

func number(t *testing.T, r *rig, path string, v any) {
	t.Helper()
	status, h, body, err := r.get(path)
	check(t, err)
	if status != 200 || h.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %v", path, status, h)
	}
	check(t, json.Unmarshal(body, v))
}

// TestPicturesAreMade: real footage of each kind gets what fits it, and lists know.
func TestPicturesAreMade(t *testing.T) {
	r := newRig(t, withMedia)
	d := r.register("camera")
	for _, c := range []struct {
		file, kind, video, audio string
		playable                 bool
		poster, strip, wave      int64
	}{
		{"movie1/VID_20191220_170832.mp4", media.Video, "h264", "aac", true, 1, 1, 1},
		{"movie2/movie-hello.avi", media.Video, "h264", "aac", false, 1, 1, 1},
		{"movie2/movie-hello.mpeg", media.Video, "mpeg2video", "mp2", false, 1, 1, 1},
		{"movie2/movie-hello.ogg", media.Video, "theora", "vorbis", false, 1, 1, 1},
		{"audio1/debian.mp3", media.Sound, "", "mp3", true, 0, 0, 1},
		{"pic1/IMG_20200827_231612.jpg", media.Photo, "mjpeg", "", true, 1, 0, 0},
	} {
		rec := send(t, r, d, filepath.Base(c.file), mediaTypeOf(c.file), read(t, samples+c.file))
		row := looked(t, r, d, rec)
		if row.Failure != "" || row.Kind != c.kind || row.Video != c.video || row.Audio != c.audio || (row.Playable == 1) != c.playable ||
			row.Poster != c.poster || row.Strip != c.strip || row.Wave != c.wave {
			t.Errorf("%s: %+v", c.file, row)
			continue
		}
		at := "/recordings/" + rec.String()
		if c.poster == 1 {
			if b := picture(t, r, at+"/poster").Bounds(); b.Dx() < 100 || b.Dx() > 320 {
				t.Errorf("%s: poster %v", c.file, b)
			}
		}
		if c.strip == 1 {
			var s media.Strip
			number(t, r, at+"/strip", &s)
			b := picture(t, r, at+"/strip.jpg").Bounds()
			if b.Dx() != s.Columns*s.Width || b.Dy() != (s.Tiles+s.Columns-1)/s.Columns*s.Height || int64(s.Tiles)*s.Every > row.Duration+1000 {
				t.Errorf("%s: strip %+v, picture %v, %d ms", c.file, s, b, row.Duration)
			}
		}
		if c.wave == 1 {
			var w media.Wave
			number(t, r, at+"/wave", &w)
			if long := w.Every * float64(len(w.Peaks)); len(w.Peaks) > 2000 || long < float64(row.Duration)*0.9 || long > float64(row.Duration)*1.1 {
				t.Errorf("%s: %d peaks, %g ms of %d", c.file, len(w.Peaks), long, row.Duration)
			}
		}
		looks, err := r.core.catalog.Looks(context.Background(), []string{rec.String()})
		check(t, err)
		if l := looks[rec.String()]; l.Poster != (c.poster == 1) || l.Duration != row.Duration {
			t.Errorf("%s: %+v", c.file, l)
		}
	}
	if status, _, _, err := r.get("/recordings/" + strings.Repeat("0", 32) + "/poster"); status != 404 || err != nil {
		t.Errorf("poster of no recording: %d %v", status, err)
	}
	if left, err := os.ReadDir(r.env.settings.path(dirTemp)); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v %v", left, err)
	}
}

func mediaTypeOf(name string) string {
	return map[string]string{".mp4": "video/mp4", ".avi": "video/x-msvideo", ".mpeg": "video/mpeg", ".ogg": "video/ogg", ".mp3": "audio/mpeg", ".jpg": "image/jpeg",
		".png": "image/png", ".svg": "image/svg+xml"}[filepath.Ext(name)]
}

// TestDerivedCopy: asked for once, made once, locked, linked, played by ranges, in the bundle's custody and after a reindex.
func TestDerivedCopy(t *testing.T) {
	r := newRig(t, withMedia)
	d := r.register("camera")
	footage := read(t, samples+"movie2/movie-hello.avi")
	rec := send(t, r, d, "movie-hello.avi", "video/x-msvideo", footage)
	at := "/recordings/" + rec.String()
	looked(t, r, d, rec)
	if _, _, page, err := r.get(at + "?lang=en"); err != nil || !bytes.Contains(page, []byte("can&#39;t show this format (AVI · H.264 · AAC)")) || !bytes.Contains(page, []byte("Make a derived copy")) {
		t.Fatalf("%v\n%s", err, page)
	}
	for range 2 {
		if status, _, body := r.post(at+"/derive", nil); status != 303 {
			t.Fatalf("%d %s", status, body)
		}
	}
	await(t, r, "derived copy", 3*time.Minute, func() bool { status, _, _, _ := r.get(at + "/derived"); return status == 200 })
	status, h, whole, err := r.get(at + "/derived")
	check(t, err)
	row, err := r.core.catalog.Derived(context.Background(), d.id().String(), rec.String())
	check(t, err)
	if h.Get("Content-Type") != "video/mp4" || evidence.Sum(whole).String() != row.Hash || row.FromHash != evidence.Sum(footage).String() || !strings.HasPrefix(row.Tool, "ffmpeg version") {
		t.Errorf("%d %v %+v", status, h, row)
	}
	if status, h, part, err := r.get(at+"/derived", "Range", "bytes=100-199"); status != 206 || !bytes.Equal(part, whole[100:200]) || err != nil {
		t.Errorf("a range: %d %v %d bytes %v", status, h, len(part), err)
	}
	name := filepath.Join(t.TempDir(), "derived.mp4")
	check(t, os.WriteFile(name, whole, 0o600))
	f, err := os.Open(name)
	check(t, err)
	defer f.Close()
	if facts, err := media.Probe(context.Background(), f); err != nil || !facts.Playable || facts.Video != "h264" || facts.Width != 1024 || facts.Duration < 8*time.Second {
		t.Errorf("%+v %v", facts, err)
	}
	if _, _, page, err := r.get(at + "?lang=zh-CN"); err != nil || !bytes.Contains(page, []byte("衍生副本：")) || !bytes.Contains(page, []byte(at+"/derived")) {
		t.Errorf("%v\n%s", err, page)
	}
	acts := map[string]int{}
	rows, err := r.core.catalog.Custody(context.Background(), d.id(), rec)
	check(t, err)
	for _, c := range rows {
		acts[c.Act]++
	}
	if acts[catalog.ActDerivedAsked] != 1 || acts[catalog.ActDerivedMade] != 1 {
		t.Errorf("custody events %v", acts)
	}
	path, err := r.export(rec, true)
	check(t, err)
	r.verified(path, verify.Verified)
	if custody := read(t, filepath.Join(path, verify.FileCustody)); !bytes.Contains(custody, []byte(row.Hash)) {
		t.Errorf("the bundle's custody does not know the copy\n%s", custody)
	}
	tables, _ := everything(t, r, []evidence.RecordingID{rec})
	check(t, reindexCommand{}.Run(r.env))
	c, err := catalog.Open(context.Background(), r.env.settings.path(fileCatalog))
	check(t, err)
	again, err := c.Dump(context.Background())
	check(t, err)
	check(t, c.Close())
	if again != tables {
		t.Errorf("the catalog is another:\n%s\nwas\n%s", again, tables)
	}
	r.start()
	if row := looked(t, r, d, rec); row.Poster != 1 || row.Tries != 1 {
		t.Errorf("after a reindex %+v", row)
	}
	changeDerived(t, r, whole)
	r.stop()
	r.start()
	if status, _, body, err := r.get(at + "/derived"); status != 409 || err != nil {
		t.Errorf("a changed copy is served: %d %v %.200s", status, err, body)
	}
}

// derivedOverS3 has a copy made whose vault is in S3, and reads it back by ranges.
func derivedOverS3(t *testing.T, r *rig, d *device) {
	t.Helper()
	r.stop()
	withMedia(r.env.settings)
	r.start()
	rec := send(t, r, d, "motion.avi", "video/x-msvideo", generated(t, "motion.avi", "-f", "lavfi", "-i", "testsrc2=s=320x180:d=1:r=10", "-c:v", "mjpeg"))
	if row := looked(t, r, d, rec); row.Poster != 1 || row.Playable != 0 {
		t.Errorf("%+v", row)
	}
	at := "/recordings/" + rec.String()
	if status, _, body := r.post(at+"/derive", nil); status != 303 {
		t.Fatalf("%d %s", status, body)
	}
	await(t, r, "derived copy", 2*time.Minute, func() bool { status, _, _, _ := r.get(at + "/derived"); return status == 200 })
	_, _, whole, err := r.get(at + "/derived")
	check(t, err)
	if status, _, part, err := r.get(at+"/derived", "Range", "bytes=1000-"); status != 206 || !bytes.Equal(part, whole[1000:]) || err != nil {
		t.Errorf("a range: %d, %d bytes of %d, %v", status, len(part), len(whole), err)
	}
}

// changeDerived changes one byte of a derived copy in the vault's folder.
func changeDerived(t *testing.T, r *rig, whole []byte) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.env.settings.vaultDir(), "objects", "recordings", "*", "*", "derived", "*"))
	check(t, err)
	if len(found) != 1 {
		t.Fatalf("derived copies in the vault: %v", found)
	}
	changed := bytes.Clone(whole)
	changed[len(changed)/2] ^= 1
	check(t, os.Chmod(found[0], 0o600))
	check(t, os.WriteFile(found[0], changed, 0o600))
}

// TestOddFormats: what browsers can't play gets a copy that they can, within 1080p and the right way round.
func TestOddFormats(t *testing.T) {
	r := newRig(t, withMedia, func(s *settings) { s.MediaDerive = true })
	d := r.register("camera")
	src := []string{"-f", "lavfi", "-i", "testsrc2=s=2560x1440:d=1:r=10", "-f", "lavfi", "-i", "sine=d=1"}
	with := func(args ...string) []string { return append(append([]string(nil), src...), args...) }
	for _, c := range []struct {
		name, mediaType string
		args            []string
		w, h            int
	}{
		{"h265.mp4", "video/mp4", with("-c:v", "libx265", "-x265-params", "log-level=error", "-preset", "ultrafast", "-c:a", "aac"), 1920, 1080},
		{"h265.mov", "video/quicktime", with("-vf", "transpose=1,scale=300:-2", "-c:v", "libx265", "-x265-params", "log-level=error", "-an"), 300, 534},
		{"program.mpg", "video/mpeg", with("-vf", "scale=720:576", "-c:v", "mpeg2video", "-c:a", "mp2"), 1024, 576},
		{"transport.ts", "video/mp2t", with("-vf", "scale=640:-2", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "mp2"), 640, 360},
		{"motion.avi", "video/x-msvideo", with("-vf", "scale=320:-2", "-c:v", "mjpeg", "-c:a", "pcm_s16le"), 320, 180},
	} {
		rec := send(t, r, d, c.name, c.mediaType, generated(t, c.name, c.args...))
		await(t, r, c.name, 3*time.Minute, func() bool {
			status, _, _, _ := r.get("/recordings/" + rec.String() + "/derived")
			return status == 200
		})
		_, _, whole, err := r.get("/recordings/" + rec.String() + "/derived")
		check(t, err)
		name := filepath.Join(t.TempDir(), "derived.mp4")
		check(t, os.WriteFile(name, whole, 0o600))
		f, err := os.Open(name)
		check(t, err)
		if facts, err := media.Probe(context.Background(), f); err != nil || !facts.Playable || facts.Width != c.w || facts.Height != c.h {
			t.Errorf("%s: %+v %v", c.name, facts, err)
		}
		f.Close()
	}
}
