package live

import "testing"

// TestSequence: numbers are unwrapped, losses counted and repaired, and B-frames told from other times that go back.
func TestSequence(t *testing.T) {
	s, lost := sequence{}, 0
	var got []uint64
	for _, n := range []uint16{65534, 65535, 2, 0, 1, 3} {
		got = append(got, s.place(n)-1<<32)
		lost += s.gap
	}
	for i, want := range []uint64{65534, 65535, 65538, 65536, 65537, 65539} {
		if got[i] != want {
			t.Errorf("number %d: %d, want %d", i, got[i], want)
		}
	}
	if lost != 0 {
		t.Errorf("%d lost", lost)
	}
	for name, c := range map[string]struct {
		shown []int // places, in the order of coding
		want  bool
	}{
		"none":           {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, false},
		"one":            {[]int{0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9}, true},
		"two":            {[]int{0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11, 15, 13, 14, 18, 16, 17, 21, 19, 20, 24}, true},
		"a clock's jump": {[]int{5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6}, false},
	} {
		s, bframes := sequence{}, false
		for i, p := range c.shown {
			bframes = s.bFrames(&packet{seq: s.place(uint16(i)), ts: uint32(p) * 3000})
		}
		if bframes != c.want {
			t.Errorf("%s: %v", name, bframes)
		}
	}
}

// FuzzParse: nothing that a client sends makes the parsers fail in another way than by an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a=ice-ufrag:x\r\na=ice-pwd:y\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"))
	f.Add([]byte{24, 0, 1, 7, 0, 2, 5, 1})
	f.Add([]byte{28, 0x85})
	f.Add([]byte{24, 0xff, 0xff, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		isKey(b)
		if fragment, err := parseFragment(string(b)); err == nil && (fragment.ufrag == "" || len(fragment.candidates) > maxCandidates) {
			t.Error("a fragment without credentials, or with too much")
		}
	})
}
