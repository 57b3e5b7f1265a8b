package main

import (
	"encoding/binary"
	"io"
	"net"
	"time"
)

const commandQuote = 0x158 // TPM_CC_Quote, TPM 2.0 Part 2

// slowTPM serves a software TPM's socket on another one, and lets each quote take as long as a real chip's.
func slowTPM(socket, tpm string, quote time.Duration) (io.Closer, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("unix", tpm)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(in, out) }() // ends when either side is closed
				for forward(out, in, quote) == nil {
				}
			}()
		}
	}()
	return l, nil
}

// forward passes one command on: a tag of 2 bytes, the whole size in 4, the command code in 4, and the rest.
func forward(out io.Writer, in io.Reader, quote time.Duration) error {
	var head [10]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return err
	}
	rest := make([]byte, max(int(binary.BigEndian.Uint32(head[2:6])), len(head))-len(head))
	if _, err := io.ReadFull(in, rest); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(head[6:10]) == commandQuote {
		<-time.After(quote)
	}
	_, err := out.Write(append(head[:], rest...))
	return err
}
