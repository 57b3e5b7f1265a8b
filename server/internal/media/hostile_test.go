package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image/jpeg"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

const samples = "/usr/share/forensics-samples/original-files/"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(samples + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fileOf(t testing.TB, b []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "original")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// attempt does with a file all that is ever done, and checks what must hold whatever the file is.
func attempt(t *testing.T, name string, b []byte) (facts Facts, files map[string][]byte, err error) {
	t.Helper()
	begin := time.Now()
	f := fileOf(t, b)
	if facts, err = Probe(t.Context(), f); err == nil {
		files, err = pictures(t.Context(), f, facts)
	}
	if long := time.Since(begin); long > time.Minute {
		t.Errorf("%s took %v", name, long)
	}
	for file, raw := range files {
		var s Strip
		var w Wave
		switch file {
		case PosterFile, StripFile:
			if c, err := jpeg.DecodeConfig(bytes.NewReader(raw)); err != nil || c.Width > columns*tileWidth || c.Height > columns*tileWidth*4 {
				t.Errorf("%s: %s is %+v, %v", name, file, c, err)
			}
		case TilesFile:
			if err := json.Unmarshal(raw, &s); err != nil || s.Tiles < 1 || s.Tiles > maxTiles || s.Every < 1 {
				t.Errorf("%s: strip %+v, %v", name, s, err)
			}
		case WaveFile:
			if err := json.Unmarshal(raw, &w); err != nil || len(w.Peaks) > maxPeaks {
				t.Errorf("%s: %d peaks, %v", name, len(w.Peaks), err)
			}
		}
		if bytes.Contains(raw, []byte("CANARY")) {
			t.Errorf("%s: %s holds another file's content", name, file)
		}
	}
	return facts, files, err
}

// TestNothingIsMadeOfWhatIsNoFootage: playlists that lead elsewhere, pages and drawings, nothing at all.
func TestNothingIsMadeOfWhatIsNoFootage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }), ReadHeaderTimeout: time.Second}
	go server.Serve(l)
	defer server.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("CANARY"), 0o644); err != nil {
		t.Fatal(err)
	}
	web := "http://" + l.Addr().String() + "/a.ts"
	whole := remuxed(t)
	for name, b := range map[string][]byte{
		"no bytes":            {},
		"one byte":            {0},
		"hls of files":        []byte("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nfile:///etc/passwd\n#EXTINF:10.0,\nfile://" + secret + "\n#EXT-X-ENDLIST\n"),
		"hls of a server":     []byte("#EXTM3U\n#EXTINF:10.0,\n" + web + "\n#EXT-X-ENDLIST\n"),
		"hls of a pipe":       []byte("#EXTM3U\n#EXTINF:10.0,\nconcat:" + web + "|file:///etc/passwd\n#EXT-X-ENDLIST\n"),
		"concat list":         []byte("ffconcat version 1.0\nfile '" + secret + "'\nfile '/etc/passwd'\n"),
		"dash":                []byte("<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"><Period><AdaptationSet><Representation><BaseURL>" + web + "</BaseURL></Representation></AdaptationSet></Period></MPD>"),
		"svg":                 []byte(`<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"><image xlink:href="` + web + `"/></svg>`),
		"page":                []byte("<!DOCTYPE html><html><img src='" + web + "'></html>"),
		"sdp":                 []byte("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
		"mp4 without index":   whole[:len(whole)/2],
		"text":                bytes.Repeat([]byte("nothing to see here\n"), 1000),
		"zeros":               make([]byte, 1<<20),
		"picture of any size": bomb(50_000, 50_000),
		"picture of no size":  bomb(0, 0),
		"picture too wide":    bomb(1<<31-1, 1),
	} {
		facts, files, err := attempt(t, name, b)
		if err == nil || len(files) > 0 {
			t.Errorf("%s: %+v, %d files, no error", name, facts, len(files))
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the network was asked %d times", n)
	}
}

// remuxed is real footage whose index comes last, as many recorders write it.
func remuxed(t *testing.T) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "last.mp4")
	if out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-i", samples+"movie2/movie-hello.mp4", "-c", "copy", name).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bomb is a PNG that says it is large.
func bomb(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, body []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
		sum := crc32.ChecksumIEEE(append([]byte(kind), body...))
		b = append(append(b, kind...), body...)
		b = binary.BigEndian.AppendUint32(b, sum)
	}
	head := binary.BigEndian.AppendUint32(nil, w)
	head = binary.BigEndian.AppendUint32(head, h)
	chunk("IHDR", append(head, 8, 6, 0, 0, 0))
	chunk("IDAT", append([]byte{0x78, 0x9c}, make([]byte, 1<<16)...))
	chunk("IEND", nil)
	return b
}

// TestAbsurdHeadersHoldNothingUp: real footage whose headers lie, field by field, and footage with bytes that were changed.
func TestAbsurdHeadersHoldNothingUp(t *testing.T) {
	avi := sample(t, "movie2/movie-hello.avi")
	for _, mark := range []string{"avih", "strh", "strf"} {
		at := bytes.Index(avi, []byte(mark))
		if at < 0 {
			t.Fatalf("no %s", mark)
		}
		for _, v := range []uint32{0xffffffff, 0x7fffffff} {
			b := bytes.Clone(avi)
			for i := 8; i < 56; i += 4 {
				binary.LittleEndian.PutUint32(b[at+i:], v)
			}
			_, _, _ = attempt(t, mark, b)
		}
	}
	mp4 := sample(t, "movie1/VID_20191220_170832.mp4")
	for _, mark := range []string{"mvhd", "mdhd", "stts", "stsz", "stsc", "stco", "avcC", "elst"} {
		at := bytes.Index(mp4, []byte(mark))
		if at < 0 {
			continue
		}
		b := bytes.Clone(mp4)
		for i := 8; i < 32; i += 4 {
			binary.BigEndian.PutUint32(b[at+i:], 0x7fffffff)
		}
		_, _, _ = attempt(t, mark, b)
	}
	for i, name := range []string{"movie2/movie-hello.mpeg", "movie2/movie-hello.ogg", "pic1/IMG_1054.JPG", "pic1/debian.png", "audio1/debian.mp3"} {
		b := bytes.Clone(sample(t, name))
		for j := 7 * (i + 1); j < len(b); j += 997 {
			b[j] ^= byte(j)
		}
		_, _, _ = attempt(t, name, b)
	}
}

// TestTruncatedFootageShowsWhatIsThere: footage whose index comes first plays up to the cut.
func TestTruncatedFootageShowsWhatIsThere(t *testing.T) {
	b := sample(t, "movie2/movie-hello.mp4")
	facts, files, err := attempt(t, "cut", b[:len(b)*2/3])
	if err != nil || facts.Kind != Video || len(files[PosterFile]) == 0 || len(files[StripFile]) == 0 || len(files[WaveFile]) == 0 {
		t.Errorf("%+v, %d files, %v", facts, len(files), err)
	}
}

// TestACopyIsBounded: a copy that would be larger than it may, or of what is no footage, is none.
func TestACopyIsBounded(t *testing.T) {
	w, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f := fileOf(t, sample(t, "movie2/movie-hello.avi"))
	facts, err := Probe(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if err := transcode(t.Context(), f, w, facts, settings(facts), 64<<10); err == nil {
		t.Error("a copy of any size was made")
	}
	if info, err := w.Stat(); err != nil || info.Size() > 64<<10 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := transcode(ctx, f, w, facts, settings(facts), 1<<30); err == nil {
		t.Error("a copy was made after the end")
	}
	if err := transcode(t.Context(), f, w, Facts{Kind: Photo}, nil, 1<<30); err == nil {
		t.Error("a copy of a photo was made")
	}
}

func TestPeaksStayFew(t *testing.T) {
	p := peaks{size: 1}
	for i := range 1_000_000 {
		p.add(i % 32768)
	}
	p.add(-32768)
	if w := p.wave(); len(w.Peaks) > maxPeaks || len(w.Peaks) < maxPeaks/2-1 || w.Peaks[len(w.Peaks)-1] != 255 || w.Every != float64(p.size)/8 {
		t.Errorf("%d peaks, %g ms", len(w.Peaks), w.Every)
	}
}
