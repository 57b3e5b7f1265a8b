package spool

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"camseal/pkg/evidence"
)

// What is on the disk of a live recording's next chunk is kept at the next start, up to where its bytes hold; other unfinished files are not.
func TestPartialOfLiveRecording(t *testing.T) {
	c := Config{Dir: t.TempDir(), Key: forkKey(true), MaxBytes: 1 << 20}
	s := enrolled(t, c)
	id, other := evidence.RecordingID{1}, evidence.RecordingID{2}
	for _, e := range []Entry{{Rec: id, Live: true, Body: &evidence.Open{Mode: evidence.ModeCapture}},
		{Rec: other, Body: &evidence.Open{Mode: evidence.ModeImport, ChunkSize: 1}}} {
		_, err := s.Append(t.Context(), e)
		check(t, err)
	}
	live, err := s.TempLive(id, 0)
	check(t, err)
	file := content(200 << 10)
	check(t, live.Reserve(int64(len(file))))
	_, err = live.Write(file)
	check(t, err)
	check(t, live.Sync())
	if err := live.Reserve(1 << 20); !errors.Is(err, ErrFull) {
		t.Error("more was promised than there is room for:", err)
	}
	imported, err := s.Temp(other, 0, 10)
	check(t, err)
	_, err = imported.Write(file[:10])
	check(t, err)
	check(t, s.Close()) // as if killed: neither file was given up
	for range 2 {
		s, rec := open(t, c)
		if len(rec.Partial) != 1 || rec.Partial[0].Rec != id || len(rec.Open) != 2 {
			t.Fatalf("%+v", rec)
		}
		got, err := s.ReadPartial(rec.Partial[0])
		check(t, err)
		if len(got) < 128<<10 || !bytes.HasPrefix(file, got) {
			t.Errorf("%d bytes of %d", len(got), len(file))
		}
		if names, err := os.ReadDir(filepath.Join(c.Dir, "tmp")); err != nil || len(names) != 1 {
			t.Error(names, err)
		}
		check(t, s.Close())
	}
	s, rec := open(t, c)
	check(t, s.DropPartial(rec.Partial[0]))
	check(t, s.DropPartial(rec.Partial[0]))
}
