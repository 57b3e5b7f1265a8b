package axis

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncw/swift/v2"
)

// staged lists the files with bytes of objects.
func (s *site) staged() (names []string) {
	s.t.Helper()
	for _, kind := range []string{"parts", "files"} {
		m, err := filepath.Glob(filepath.Join(s.State, "accounts", "*", "*", kind, "*"))
		must(s.t, err)
		names = append(names, m...)
	}
	return names
}

// TestWrongPasswordIsRefused, and the key stands in no log.
func TestWrongPasswordIsRefused(t *testing.T) {
	s := newSite(t)
	for _, u := range []string{testUser, "nobody"} {
		c := &swift.Connection{UserName: u, ApiKey: "not the key of a test", AuthUrl: s.url + "/auth/v1.0", AuthVersion: 1, Retries: 1}
		if err := c.Authenticate(context.Background()); code(err) != 401 {
			t.Errorf("%s: %v", u, err)
		}
	}
	s.connect()
	if log := s.logged(); !strings.Contains(log, "User or key is wrong") || strings.Contains(log, "key of a test") {
		t.Errorf("log: %s", log)
	}
}

// TestWrongPasswordsAreRateLimited: after ten, not even the right one is looked at, for a minute.
func TestWrongPasswordsAreRateLimited(t *testing.T) {
	s := newSite(t)
	sign := func(key string) int {
		status, _ := s.status(nil, "GET", "/auth/v1.0", nil, "X-Auth-User", testUser, "X-Auth-Key", key)
		return status
	}
	for i := range 10 {
		if got := sign("wrong"); got != 401 {
			t.Fatalf("attempt %d: %d", i, got)
		}
	}
	if got := sign(testKey); got != 429 {
		t.Errorf("attempt 11: %d", got)
	}
	s.clock.ahead.Add(int64(61 * time.Second))
	if got := sign(testKey); got != 200 {
		t.Errorf("a minute later: %d", got)
	}
}

// TestTokens: an expired, changed or foreign one opens nothing, and the client that signs in again goes on.
func TestTokens(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), "a_b_20240503T113411Z", nil))
	path := "/v1/AUTH_" + testUser + "/a_b_20240503T113411Z"
	status, text := s.status(nil, "HEAD", path, nil)
	s.want(status, text, 401)
	other := []byte(c.AuthToken)
	other[10] ^= 1 // a letter or digit becomes another one, or no base64
	broken := &swift.Connection{AuthToken: string(other)}
	status, text = s.status(broken, "GET", path, nil)
	s.want(status, text, 401, "token")
	status, text = s.status(c, "PUT", "/v1/AUTH_other/x", nil)
	s.want(status, text, 403, "not your account")
	s.clock.ahead.Add(int64(time.Hour))
	status, text = s.status(c, "GET", path, nil)
	s.want(status, text, 401, "expired")
	if _, _, err := c.Container(context.Background(), "a_b_20240503T113411Z"); err != nil {
		t.Errorf("the client did not sign in again: %v", err)
	}
	s.again()
	status, text = s.status(c, "GET", path, nil)
	s.want(status, text, 401)
}

// TestOversizedIsRefused, whether its length is said or not, and leaves nothing.
func TestOversizedIsRefused(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MaxObject = 1 << 20 })
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	path := c.StorageUrl[len(s.url):] + "/" + recording + "/x.mp4"
	status, text := s.status(c, "PUT", path, bytes.NewReader(make([]byte, 1<<20+1)))
	s.want(status, text, 400, "larger", "max-object")
	status, text = s.status(c, "PUT", path, struct{ io.Reader }{bytes.NewReader(make([]byte, 1<<20+1))})
	s.want(status, text, 400, "larger")
	if left := s.staged(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	status, text = s.status(c, "PUT", path, struct{ io.Reader }{bytes.NewReader(make([]byte, 1<<20))})
	s.want(status, text, 201)
}

// TestBadNamesAreRefused and never become paths.
func TestBadNamesAreRefused(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	account := c.StorageUrl[len(s.url):]
	for name, words := range map[string]string{
		"../x": "folder", "%2e%2e/x": "folder", "..%2f..%2fx": "folder", "a/../b": "folder", "./x": "folder", "x%00y": "control", "x%0Ay": "control",
		"%ff%fe": "UTF-8", strings.Repeat("a", 1025): "at most 1024", strings.Repeat("%E7%8E%8B", 342): "at most 1024",
	} {
		status, text := s.status(c, "PUT", account+"/"+recording+"/"+name, strings.NewReader("x"))
		s.want(status, text, 400, words)
	}
	for name, words := range map[string]string{"..": "folder", "%2E%2E": "folder", ".": "folder", "a%2Fb": "slash", "a%00": "control", strings.Repeat("c", 257): "at most 256"} {
		status, text := s.status(c, "PUT", account+"/"+name, nil)
		s.want(status, text, 400, words)
	}
	if left := s.staged(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	entries, err := os.ReadDir(s.accountDir(testUser))
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("containers: %v", entries)
	}
}

// TestOddNamesAreKept: what is odd and no harm is stored, listed as it came, and staged under a safe name of its own.
func TestOddNamesAreKept(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	container := "用户_摄像机 1_20240503T113411Z"
	must(t, c.ContainerCreate(ctx, container, nil))
	long := strings.Repeat("l", 1024)
	names := []string{".hidden.mp4", "a/b/c.mp4", "a%2Fb%2Fc.mp4", "a~b", "\u202e4pm.exe", "clip.MP4", "clip.mp4", "王伟.mp4", long, long[:1023] + "m", metadataFile, "con?*:|<>\"'\\.mkv"}
	for i, n := range names {
		put(t, c, container, n, fill(10+i, byte(i)), nil)
	}
	got, err := c.ObjectNamesAll(ctx, container, nil)
	must(t, err)
	if len(got) != len(names) {
		t.Errorf("listed %q", got)
	}
	must(t, c.ContainerUpdate(ctx, container, metaHeaders("Container", "Status", "Complete")))
	list, byName := s.agent(nil).files(s.agent(nil).watch()().ID)
	if len(list) != len(names)+1 {
		t.Fatalf("%d files", len(list))
	}
	for i, n := range names {
		file := fileName(n)
		f, ok := byName[file]
		if !ok || f.Size != uint64(10+i) || strings.ContainsAny(file, "/\x00\u202e") || len(file) > 255 || file[0] == '.' || file == metadataFile {
			t.Errorf("%q became %q: %+v", n, file, f)
		}
	}
}

// TestUnknownContainer: an object without its container is not stored.
func TestUnknownContainer(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	if _, err := c.ObjectPut(context.Background(), "nothing_here_20240503T113411Z", "x.mp4", strings.NewReader("x"), true, "", "", nil); code(err) != 404 {
		t.Errorf("put: %v", err)
	}
	if err := c.ContainerUpdate(context.Background(), "nothing_here_20240503T113411Z", metaHeaders("Container", "Status", "Complete")); code(err) != 404 {
		t.Errorf("post: %v", err)
	}
	if left := s.staged(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestCompleteIsNeverChanged: the same again gets the same answer; other bytes, other metadata, and further objects are refused for good.
func TestCompleteIsNeverChanged(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	introduce(t, c)
	first, second := fill(1000, 1), fill(2000, 2)
	transfer(t, c, first, second)
	complete(t, c, recording)
	d := s.agent(nil).watch()()
	transfer(t, c, first, second) // a system that did not get the answer sends all of it again
	complete(t, c, recording)
	for name, b := range map[string][]byte{clip2: fill(2000, 3), "20240503_114341_1234.mp4": first} {
		_, err := c.ObjectPut(ctx, recording, name, bytes.NewReader(b), true, "", "", metaHeaders("Object", "StartTimeISO", "2024-05-03T11:38:41Z", "StopTimeISO", "2024-05-03T11:43:41Z", "ContainerType", "mp4"))
		if code(err) != 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.ContainerUpdate(ctx, recording, metaHeaders("Container", "TriggerOff", "Other")); code(err) != 400 {
		t.Errorf("container's metadata: %v", err)
	}
	if err := c.ObjectUpdate(ctx, recording, clip1, metaHeaders("Object", "StartTime", "1")); code(err) != 400 {
		t.Errorf("object's metadata: %v", err)
	}
	got, err := os.ReadFile(filepath.Join(string(d.Root), clip2))
	must(t, err)
	if !bytes.Equal(got, second) {
		t.Error("what was complete has changed")
	}
	if again := s.agent(nil).watch()(); again.ID != d.ID {
		t.Error("it was handed over a second time")
	}
}

// TestReplacedBeforeComplete: as in Swift, the last bytes and metadata of an object count, and the first are gone.
func TestReplacedBeforeComplete(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	must(t, c.ContainerCreate(ctx, recording, nil))
	put(t, c, recording, clip1, fill(1000, 1), metaHeaders("Object", "StartTime", "1", "Old", "1"))
	put(t, c, recording, clip1, fill(500, 2), metaHeaders("Object", "StartTime", "1714736021"))
	must(t, c.ObjectUpdate(ctx, recording, clip1, metaHeaders("Object", "StopTime", "1714736321")))
	info, h, err := c.Object(ctx, recording, clip1)
	must(t, err)
	if info.Bytes != 500 || info.Hash != hash5(fill(500, 2)) || h["X-Object-Meta-Stoptime"] != "1714736321" || h["X-Object-Meta-Starttime"] != "" || h["X-Object-Meta-Old"] != "" {
		t.Errorf("%+v, %v", info, h)
	}
	if left := s.staged(); len(left) != 1 {
		t.Errorf("staged: %v", left)
	}
}

// TestDiskFull: before the disk is full an upload is refused with 507, the one that says its length before a byte of it came; what was stored stays.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"))
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := newSite(t, func(c *Config) { c.State, c.Reserve = dir, 2<<20 })
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	put(t, c, recording, clip1, fill(4<<20, 1), nil)
	path := c.StorageUrl[len(s.url):] + "/" + recording + "/" + clip2
	status, text := s.status(c, "PUT", path, bytes.NewReader(fill(7<<20, 2)))
	s.want(status, text, 507, "full", "kept")
	status, text = s.status(c, "PUT", path, struct{ io.Reader }{bytes.NewReader(fill(11<<20, 2))})
	s.want(status, text, 507, "full")
	if left := s.staged(); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	free, _, err := s.store.space.free()
	must(t, err)
	if free < 2<<20 || s.store.space.promised != 0 {
		t.Errorf("free %d, promised %d", free, s.store.space.promised)
	}
	put(t, c, recording, clip2, fill(5<<20, 2), nil)
	must(t, c.ContainerUpdate(context.Background(), recording, metaHeaders("Container", "Status", "Complete"))) // links take no space
}

// TestDiskFullWithoutReserve: a disk that fills up all the same gives 507 too, and leaves nothing half.
func TestDiskFullWithoutReserve(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := newSite(t, func(c *Config) { c.State, c.Reserve = dir, -1<<30 })
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	status, text := s.status(c, "PUT", c.StorageUrl[len(s.url):]+"/"+recording+"/"+clip2, bytes.NewReader(fill(7<<20, 2)))
	s.want(status, text, 507, "full")
	if left := s.staged(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestDraining: what runs is finished, what is new gets 503.
func TestDraining(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := c.ObjectPut(context.Background(), recording, clip1, r, true, "", "", nil)
		done <- err
	}()
	if _, err := w.Write(fill(100_000, 1)); err != nil {
		t.Fatal(err)
	}
	s.waitFor(func() bool { return len(s.staged()) == 1 })
	s.Drain()
	status, text := s.status(c, "PUT", c.StorageUrl[len(s.url):]+"/"+recording+"/"+clip2, strings.NewReader("x"))
	s.want(status, text, 503, "again later")
	must(t, w.Close())
	if err := <-done; err != nil {
		t.Errorf("what was running: %v", err)
	}
}

// TestTooManyUploadsAtOnce are told to come again.
func TestTooManyUploadsAtOnce(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Uploads = 1 })
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := c.ObjectPut(context.Background(), recording, clip1, r, true, "", "", nil)
		done <- err
	}()
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.waitFor(func() bool { return len(s.staged()) == 1 })
	path := c.StorageUrl[len(s.url):] + "/" + recording + "/" + clip2
	status, text := s.status(c, "PUT", path, strings.NewReader("x"))
	s.want(status, text, 503, "again soon")
	must(t, w.Close())
	must(t, <-done)
	status, text = s.status(c, "PUT", path, strings.NewReader("x"))
	s.want(status, text, 201)
}

// TestSilentSenderIsCutOff, and leaves nothing.
func TestSilentSenderIsCutOff(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Idle = 100 * time.Millisecond })
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	must(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s/%s/%s HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Length: 1000\r\n\r\nhalf", c.StorageUrl[len(s.url):], recording, clip1, c.AuthToken)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.Contains(answer, " 500 ") && !strings.Contains(answer, " 408 ") {
		t.Errorf("answer %q", answer)
	}
	s.waitFor(func() bool { return len(s.staged()) == 0 })
	if _, _, err := c.Object(context.Background(), recording, clip1); code(err) != 404 {
		t.Errorf("half an object: %v", err)
	}
}

// TestHashesAndLengths: a wrong MD5 is 422 and stores nothing; no length at all is 411.
func TestHashesAndLengths(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	must(t, c.ContainerCreate(ctx, recording, nil))
	if _, err := c.ObjectPut(ctx, recording, clip1, strings.NewReader("abc"), false, hash5([]byte("abd")), "", nil); code(err) != 422 {
		t.Errorf("wrong hash: %v", err)
	}
	if _, err := c.ObjectPut(ctx, recording, clip2, strings.NewReader("abc"), false, hash5([]byte("abc")), "", nil); err != nil {
		t.Errorf("right hash: %v", err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	must(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s/%s/y HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\n\r\n", c.StorageUrl[len(s.url):], recording, c.AuthToken)
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(answer, " 411 ") {
		t.Errorf("no length: %q, %v", answer, err)
	}
	if left := s.staged(); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// TestMetadataIsBounded: too many, too long, broken.
func TestMetadataIsBounded(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	path := c.StorageUrl[len(s.url):] + "/" + recording
	many := []string{}
	for i := range 91 {
		many = append(many, fmt.Sprintf("X-Container-Meta-M%d", i), "v")
	}
	for words, headers := range map[string][]string{
		"items": many, "128": {"X-Container-Meta-" + strings.Repeat("n", 129), "v"}, "1024": {"X-Container-Meta-N", strings.Repeat("v", 1025)}, "UTF-8": {"X-Container-Meta-N", "\xff"},
	} {
		status, text := s.status(c, "PUT", path, nil, headers...)
		s.want(status, text, 400, words)
	}
	status, text := s.status(c, "GET", path, nil)
	s.want(status, text, 404)
	must(t, c.ContainerCreate(context.Background(), recording, metaHeaders("Container", "A", "1", "B", "2")))
	must(t, c.ContainerUpdate(context.Background(), recording, swift.Headers{"X-Container-Meta-A": "", "X-Remove-Container-Meta-B": "x", "X-Container-Meta-C": "3"}))
	_, h, err := c.Container(context.Background(), recording)
	must(t, err)
	if h["X-Container-Meta-A"] != "" || h["X-Container-Meta-B"] != "" || h["X-Container-Meta-C"] != "3" {
		t.Errorf("%v", h)
	}
}

// TestWhatIsNotSupportedIsRefused and changes nothing: deletion, copies, expiry, manifests, and reading recordings back.
func TestWhatIsNotSupportedIsRefused(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	must(t, c.ContainerCreate(ctx, recording, nil))
	put(t, c, recording, clip1, fill(1000, 1), nil)
	path := c.StorageUrl[len(s.url):] + "/" + recording
	for _, r := range []struct {
		method, path string
		status       int
		header       string
	}{{"DELETE", path + "/" + clip1, 405, ""}, {"DELETE", path, 405, ""}, {"COPY", path + "/" + clip1, 405, ""}, {"POST", path[:strings.LastIndex(path, "/")], 405, ""},
		{"PUT", path + "/y", 400, "X-Delete-After"}, {"PUT", path + "/y", 400, "X-Object-Manifest"}, {"PUT", path + "/y", 400, "X-Copy-From"},
		{"PUT", path + "/y?multipart-manifest=put", 400, ""}, {"GET", path + "/" + clip1, 403, ""}, {"GET", "/v1/x?delimiter=/", 403, ""}, {"GET", path + "?delimiter=/", 400, ""},
		{"GET", "/", 404, ""}, {"PUT", path[:strings.LastIndex(path, "/")] + "/System/Capabilities.json", 403, ""}} {
		headers := []string{}
		if r.header != "" {
			headers = []string{r.header, "1"}
		}
		if status, text := s.status(c, r.method, r.path, strings.NewReader("x"), headers...); status != r.status {
			t.Errorf("%s %s %s: %d, want %d: %s", r.method, r.path, r.header, status, r.status, text)
		}
	}
	if left := s.staged(); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// waitFor looks again and again, for ten seconds at most.
func (s *site) waitFor(ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			s.t.Fatal("it did not come to that in 10 s")
		}
	}
}
