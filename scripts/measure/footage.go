package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// footage writes files of numbered blocks: 512 bytes each, no two alike, and nothing that compresses to nothing.
func footage(dir string, files int, size int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var block [512]byte
	for i := range files {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("VID_%04d.MP4", i)))
		if err != nil {
			return err
		}
		w := bufio.NewWriterSize(f, 1<<20)
		for at := int64(0); at < size; at += int64(len(block)) {
			x := uint64(at)*0x9e3779b97f4a7c15 + uint64(i)
			for j := 0; j < len(block); j += 8 {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
				binary.LittleEndian.PutUint64(block[j:], x)
			}
			if _, err := w.Write(block[:]); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
