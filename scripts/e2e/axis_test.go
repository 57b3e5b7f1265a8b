package e2e_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncw/swift/v2"
)

// TestContentDestination: an independent Swift client (ncw/swift) sends a recording with its GPS trail and bookmarks, as a body-worn system does. It ends as sealed
// and stored recordings, the trail as one of its own; header, marks and note are filled from what came with it; and the staged copies go on their permits.
func TestContentDestination(t *testing.T) {
	s := newSystem(t)
	d := s.newStation("", true)
	listen := freeAddress(t)
	key := filepath.Join(d.dir, "key")
	users := filepath.Join(d.dir, "users")
	for path, text := range map[string]string{key: "a key of the body-worn system\n", users: "station:file:" + key + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.bridge = start(t, "camseal-bridge", "axis", "run", "--users", users, "--listen", listen, "--state", filepath.Join(d.dir, "staged"), "--socket", d.socket(),
		"--agent-user", "root", "--reserve", "1MiB", "--erase", "--log-key", s.path("server/log.vkey"))
	eventually(t, "the content destination", func() bool {
		c, err := net.Dial("tcp", listen)
		return err == nil && c.Close() == nil
	})
	d.startAgent()

	clip, err := os.ReadFile(filepath.Join(samples, "movie2", film))
	if err != nil {
		t.Fatal(err)
	}
	trail := []byte(`{"CoordinateEntries":[{"LocationWKT":"POINT(13.221184 55.718409)","SecondsFromStart":64.0,"Timestamp":"2024-05-03T11:34:45Z"}]}`)
	const user, serial = "4e9f1a7c-5b57-44c7-9a1b-0c8f0b8a3c11", "B8A44F123456"
	const recording, clipName, trailName = user + "_" + serial + "_20240503T113411Z", "20240503_113341_1234.mp4", "20240503_113341_1234_" + serial + "_gpstrail.json"
	c := &swift.Connection{UserName: "station", ApiKey: "a key of the body-worn system", AuthUrl: "http://" + listen + "/auth/v1.0"}
	if err := c.Authenticate(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &d.bridge.out)
	}
	container := func(name string, h swift.Headers) {
		t.Helper()
		if err := c.ContainerCreate(t.Context(), name, h); err != nil {
			t.Fatal(err)
		}
	}
	object := func(container, name string, b []byte, h swift.Headers) {
		t.Helper()
		if _, err := c.ObjectPut(t.Context(), container, name, bytes.NewReader(b), true, "", "", h); err != nil {
			t.Fatal(err)
		}
	}
	container("Users", nil)
	object("Users", user, nil, swift.Headers{"X-Object-Meta-Active": "True", "X-Object-Meta-Name": "%E7%8E%8B%E4%BC%9F", "X-Object-Meta-UserID": "A-4711"})
	container(recording, swift.Headers{"X-Container-Meta-BWCSerialNumber": serial, "X-Container-Meta-UserID": user, "X-Container-Meta-TriggerOnTimeISO": "2024-05-03T11:34:11Z",
		"X-Container-Meta-Status": "Transferring"})
	object(recording, clipName, clip, swift.Headers{"X-Object-Meta-StartTimeISO": "2024-05-03T11:33:41Z", "X-Object-Meta-StopTimeISO": "2024-05-03T11:38:41Z"})
	object(recording, trailName, trail, swift.Headers{"X-Object-Meta-FileType": "json"})
	object(recording, "bookmark_20240503T113500Z_1", []byte("driver shows no papers"), swift.Headers{"X-Object-Meta-CategoryName": "Traffic%20stop", "X-Object-Meta-StartTime": "2024-05-03T11:35:00Z"})
	if err := c.ContainerUpdate(t.Context(), recording, swift.Headers{"X-Container-Meta-Status": "Complete"}); err != nil {
		t.Fatal(err)
	}

	var list []catalogued
	defer func() {
		if t.Failed() {
			t.Logf("the catalog: %+v\nthe dock: %+v\ncontent destination: %s\nagent: %s", list, d.tile("axis"), &d.bridge.out, &d.running.out)
		}
	}()
	eventually(t, "all of it stored and released", func() bool {
		list = s.catalogue()
		stored := 0
		for _, r := range list {
			if r.State == "stored" && r.Released {
				stored++
			}
		}
		return stored == 4 // clip, trail, bookmark, and the metadata
	})
	found := 0
	for _, r := range list {
		bundle := s.export(r.Rec)
		said := verify(t, 0, "--trust", s.trust(), bundle)
		switch r.Name {
		case clipName:
			found++
			for _, want := range []string{"dock-sealed", "王伟 A-4711", "Traffic stop", "55.718409, 13.221184", "2024-05-03T11:34:11Z", "axis content destination", "driver shows no papers", "important marks: 1"} {
				if !strings.Contains(said, want) {
					t.Errorf("the verifier does not say %q:\n%s", want, said)
				}
			}
			if !bytes.Equal(original(t, bundle), clip) {
				t.Error("the clip is not as it was sent")
			}
		case trailName:
			found++
			if !bytes.Equal(original(t, bundle), trail) {
				t.Error("the trail is not as it was sent")
			}
		}
	}
	if found != 2 {
		t.Errorf("%+v", list)
	}
}
