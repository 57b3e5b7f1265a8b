// Package archivetest holds what every vault must do, as tests.
package archivetest

import (
	"testing"
	"time"

	"camseal/server/internal/archive"
)

// Run checks vaults of one kind. newVault makes a new one and sees to it that it is closed with the test.
func Run(t *testing.T, newVault func(testing.TB) archive.Vault) {
	t.Helper()
	points := 0
	archive.Check(t.Context(), newVault(t), time.Now, func(point string, err error) {
		points++
		t.Run(point, func(t *testing.T) {
			if err != nil {
				t.Error(err)
			}
		})
	})
	if points == 0 {
		t.Error("nothing was checked")
	}
	if a, b := newVault(t), newVault(t); a.ID() == b.ID() {
		t.Errorf("two vaults have one id, %s", a.ID())
	}
}
