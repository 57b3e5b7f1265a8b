package verify

import (
	"reflect"
	"testing"

	"camseal/pkg/evidence"
)

// A captured recording is not complete if its segments do not follow each other; an import has no such times.
func TestHoles(t *testing.T) {
	r := &Recording{Open: &evidence.Open{Mode: evidence.ModeCapture}, Chunks: []ChunkAt{{}, {Start: 100, Duration: 2000, Seq: 7}, {Start: 2101, Duration: 1999, Seq: 8},
		{Start: 24_100, Duration: 2000, Seq: 11}, {Start: 26_100, Duration: 1, Seq: 12}}}
	if got := holes(r); !reflect.DeepEqual(got, []hole{{4100, 24_100, 11}}) {
		t.Errorf("got %+v", got)
	}
	r.Open.Mode = evidence.ModeImport
	if got := holes(r); got != nil {
		t.Errorf("an import has %+v", got)
	}
}
