package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/media"
)

// TestWrongBytesMakeNothing: a changed chunk in the vault is said loudly, and nothing is made of it.
func TestWrongBytesMakeNothing(t *testing.T) {
	r := newRig(t)
	d := r.register("camera")
	rec := send(t, r, d, "debian.mp3", "audio/mpeg", read(t, samples+"audio1/debian.mp3"))
	found, err := filepath.Glob(filepath.Join(r.env.settings.vaultDir(), "objects", "recordings", "*", rec.String(), "chunks", "*"))
	check(t, err)
	b := read(t, found[len(found)/2])
	b[7] ^= 1
	check(t, os.Chmod(found[len(found)/2], 0o600))
	check(t, os.WriteFile(found[len(found)/2], b, 0o600))
	r.stop()
	withMedia(r.env.settings)
	r.start()
	if row := looked(t, r, d, rec); row.Failure != media.FailureWrong || row.Wave != 0 || row.Kind != "" {
		t.Errorf("%+v", row)
	}
	if status, _, _, err := r.get("/recordings/" + rec.String() + "/wave"); status != 404 || err != nil {
		t.Errorf("a waveform of wrong bytes: %d %v", status, err)
	}
	if _, _, page, err := r.get("/recordings/" + rec.String() + "?lang=en"); err != nil || !bytes.Contains(page, []byte("bytes that are not what the recorder sealed")) {
		t.Errorf("%v\n%s", err, page)
	}
}

// TestMediaIsTriedThreeTimes: what can't be read is tried again later, and not for ever; a server that ends meanwhile loses nothing.
func TestMediaIsTriedThreeTimes(t *testing.T) {
	r := newRig(t)
	d := r.register("camera")
	bad := send(t, r, d, "cut.mp4", "video/mp4", []byte(strings.Repeat("not footage ", 1000)))
	good := send(t, r, d, "good.mp4", "video/mp4", read(t, samples+"movie1/VID_20191220_170832.mp4"))
	r.stop()
	withMedia(r.env.settings)
	r.start()
	ctx := context.Background()
	await(t, r, "work on the newest", time.Minute, func() bool {
		row, err := r.core.catalog.Media(ctx, d.id().String(), good.String())
		return err == nil && row.Tries == 1
	})
	r.stop() // in the middle of it, or soon after
	r.start()
	if row := looked(t, r, d, good); row.Failure != "" || row.Strip != 1 || row.Tries != 1 {
		t.Errorf("after an end in the middle: %+v", row)
	}
	for tries := int64(1); tries <= media.Tries; tries++ {
		await(t, r, "a try", time.Minute, func() bool {
			row, err := r.core.catalog.Media(ctx, d.id().String(), bad.String())
			return err == nil && row.Tries == tries && row.Failure == media.FailureUnreadable
		})
		row, err := r.core.catalog.Media(ctx, d.id().String(), bad.String())
		check(t, err)
		if row.NextAt.Valid != (tries < media.Tries) {
			t.Errorf("after try %d: %+v", tries, row)
		}
		r.pass(time.Hour)
		_, err = r.export(bad, true) // whatever is logged wakes the workers
		check(t, err)
	}
	row, err := r.core.catalog.Media(ctx, d.id().String(), bad.String())
	if err != nil || row.Tries != media.Tries {
		t.Errorf("%+v %v", row, err)
	}
}

// TestTheCacheIsBounded: what was not used for longest goes, and is made again when somebody asks.
func TestTheCacheIsBounded(t *testing.T) {
	r := newRig(t, withMedia)
	d := r.register("camera")
	first := send(t, r, d, "one.mp4", "video/mp4", read(t, samples+"movie1/VID_20191220_170832.mp4"))
	row := looked(t, r, d, first)
	r.stop()
	r.env.settings.MediaBytes = 1 << 20
	r.start()
	r.core.media.MaxBytes = row.Bytes * 3 / 2
	second := send(t, r, d, "two.avi", "video/x-msvideo", read(t, samples+"movie2/movie-hello.avi"))
	if row := looked(t, r, d, second); row.Poster != 1 {
		t.Errorf("%+v", row)
	}
	poster := func(rec evidence.RecordingID) int {
		status, _, _, err := r.get("/recordings/" + rec.String() + "/poster")
		check(t, err)
		return status
	}
	await(t, r, "the second poster", time.Minute, func() bool { return poster(second) == 200 })
	if status := poster(first); status != 404 {
		t.Errorf("the first poster is still there: %d", status)
	}
	await(t, r, "the first poster again", time.Minute, func() bool { return poster(first) == 200 })
}

// TestWithoutFFmpeg: it is said once, and everything else works.
func TestWithoutFFmpeg(t *testing.T) {
	r := newRig(t)
	d := r.register("camera")
	rec := send(t, r, d, "movie.avi", "video/x-msvideo", read(t, samples+"movie2/movie-hello.avi"))
	r.stop()
	t.Setenv("PATH", t.TempDir())
	withMedia(r.env.settings)
	r.start()
	await(t, r, "trouble", time.Minute, func() bool { return r.core.media.Trouble() != nil })
	status, _, page, err := r.get("/recordings/" + rec.String() + "?lang=en")
	if status != 200 || err != nil || !bytes.Contains(page, []byte("ffmpeg does not run on this server")) || bytes.Contains(page, []byte("/derive\"")) {
		t.Errorf("%d %v\n%s", status, err, page)
	}
	if status, _, body := r.post("/recordings/"+rec.String()+"/derive", nil); status != 409 {
		t.Errorf("a copy was asked for: %d %s", status, body)
	}
	r.stop()
	if n := strings.Count(r.log.String(), "no posters, waveforms and derived copies are made"); n != 1 {
		t.Errorf("said %d times", n)
	}
}
