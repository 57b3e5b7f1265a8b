package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"camseal/scripts/versity"
)

// TestS3 takes footage into a real S3 server with object lock; the server's own credentials can't delete what they stored.
func TestS3(t *testing.T) {
	gw, err := versity.Start(program("s3serve"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gw.Stop)
	storage, err := gw.ServerFlags()
	if err != nil {
		t.Fatal(err)
	}
	s := newSystem(t, storage...)
	files := map[string][]byte{}
	for i := range 3 {
		name := fmt.Sprintf("%d.mp4", i)
		s.film(name, 700_000*i)
		files[name] = footage(name, 700_000*i)
	}
	mustRun(t, "camseal-agent", s.importing()...)
	s.allSound(files)
	out := verify(t, 0, "--trust", s.trust(), "--json", s.export(s.recordings()[0].Rec))
	if !strings.Contains(out, `"compliance"`) {
		t.Errorf("the report does not name the lock:\n%s", out)
	}
	if out := mustRun(t, "camseal-server", s.serverCommand("check-archive")...); !strings.Contains(out, "an object can't be destroyed") {
		t.Errorf("check-archive says nothing of deleting:\n%s", out)
	}
}
