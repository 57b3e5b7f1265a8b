package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"camseal/scripts/crashfs"
)

// powered is a system whose disks forget, when the power goes, whatever was not synced. The recorder's keeps no name without an fsync of the
// file or its folder; the server's keeps a journal, as ext4 and xfs do: the log's storage rests on that.
type powered struct {
	*system
	disk, servers *crashfs.FS
	tpm           *process
}

func newPowered(t *testing.T) *powered {
	t.Helper()
	mount := func(journal bool) (*crashfs.FS, string) {
		dir := t.TempDir()
		disk, err := crashfs.New(dir, journal)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := disk.Close(); err != nil {
				t.Error(err)
			}
		})
		return disk, dir
	}
	p := &powered{}
	var dir, agents string
	p.servers, dir = mount(true)
	p.disk, agents = mount(false)
	p.system, p.tpm = newSystemAt(t, dir, agents, t.TempDir())
	return p
}

// cut waits for the power to go, kills everything, and brings up disk, TPM and server again.
func (p *powered) cut(others ...*process) {
	p.t.Helper()
	p.disk.Cut()
	p.servers.Cut()
	for _, o := range append(others, p.server, p.tpm) {
		o.kill()
	}
	if err := errors.Join(p.disk.Restore(), p.servers.Restore()); err != nil {
		p.t.Fatal(err)
	}
	_, p.tpm = powerTPM(p.t, p.tpmDir)
	p.startServer()
}

// TestPowerCutDuringImport cuts the power of everything at seeded changes of the disk; afterwards all goes on, and nothing is lost.
func TestPowerCutDuringImport(t *testing.T) {
	p := newPowered(t)
	files := crashFiles(p.system)
	random := rand.New(rand.NewPCG(6, 1))
	for i := range seeds() {
		disk := p.disk
		if i%2 == 1 {
			disk = p.servers
		}
		gone := disk.CutAt(disk.Steps() + 1 + random.Int64N(1500))
		agent := start(t, "camseal-agent", p.importing()...)
		select {
		case <-gone:
		case <-agent.done:
		case <-time.After(time.Minute):
			t.Fatalf("neither cut nor done\n%s", &agent.out)
		}
		p.cut(agent)
		name := fmt.Sprintf("more%d.mp4", i)
		p.film(filepath.Base(name), 900_000)
		files[name] = footage(name, 900_000)
	}
	mustRun(t, "camseal-agent", p.importing()...)
	p.allSound(files)
}
