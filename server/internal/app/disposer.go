package app

import (
	"fmt"
	"os"
	"strings"

	"camseal/server/internal/archive"
	"camseal/server/internal/archive/s3"
)

const fileS3DisposeKey = "s3-dispose.secret"

// openDisposer returns what may remove objects from the vault: the folder itself, or credentials of its own for S3, since the server's own lack
// the right. nil: nothing may.
func openDisposer(s *settings, v archive.Vault) (archive.Disposer, error) {
	if d, ok := v.(archive.Disposer); ok {
		return d, nil
	}
	if s.S3DisposeAccessKey == "" {
		return nil, nil
	}
	file := s.S3DisposeSecret
	if file == "" {
		file = s.path(fileS3DisposeKey)
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("s3-dispose-secret-file: %w", err)
	}
	d, err := s3.NewDisposer(s3.Config{Endpoint: s.S3Endpoint, Bucket: s.S3Bucket, Region: s.S3Region, AccessKey: s.S3DisposeAccessKey,
		SecretKey: s3.Secret(strings.TrimSpace(string(secret))), CAFile: s.S3CA})
	if err != nil {
		return nil, err
	}
	return d, nil
}
