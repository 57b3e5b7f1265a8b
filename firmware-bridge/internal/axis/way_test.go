package axis

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncw/swift/v2"

	"camseal/pkg/handoff"
)

const (
	userID    = "4e9f1a7c-5b57-44c7-9a1b-0c8f0b8a3c11"
	serial    = "B8A44F123456"
	recording = userID + "_" + serial + "_20240503T113411Z"
	clip1     = "20240503_113341_1234.mp4"
	clip2     = "20240503_113841_1234.mp4"
	trailName = "20240503_113341_1234_" + serial + "_gpstrail.json"
)

var trail = []byte(`{"CoordinateEntries":[
 {"LocationWKT":"POINT(13.221184 55.718409)","SecondsFromStart":64.0,"Timestamp":"2024-05-03T11:34:45Z"},
 {"LocationWKT":"POINT(13.220701 55.718702)","SecondsFromStart":82.0,"Timestamp":"2024-05-03T11:35:03Z"}]}`)

// introduce tells the destination what a body-worn system tells it when it is set up.
func introduce(t *testing.T, c *swift.Connection) {
	t.Helper()
	ctx := context.Background()
	for _, name := range []string{"System", "Users", "Devices"} {
		must(t, c.ContainerCreate(ctx, name, nil))
	}
	put(t, c, "System", "0d2f", nil, metaHeaders("Object", "ConnectionId", "c-1", "SystemName", "Station%20North"))
	put(t, c, "Users", userID, nil, metaHeaders("Object", "Active", "True", "Name", "%E7%8E%8B%E4%BC%9F", "UserID", "A-4711"))
	put(t, c, "Devices", serial, nil, metaHeaders("Object", "Active", "True", "Name", "Vest 7", "Model", "W120"))
}

func transfer(t *testing.T, c *swift.Connection, first, second []byte) {
	t.Helper()
	ctx := context.Background()
	must(t, c.ContainerCreate(ctx, recording, metaHeaders("Container", "BWCSerialNumber", serial, "UserID", userID, "FirmwareVersion", "11.11.1", "BWCModel", "W120",
		"TriggerOn", "Button", "TriggerOnTime", "1714736051", "TriggerOnTimeISO", "2024-05-03T11:34:11Z", "TimeZone", "Europe/Stockholm", "Status", "Transferring")))
	put(t, c, recording, clip2, second, metaHeaders("Object", "StartTimeISO", "2024-05-03T11:38:41Z", "StopTimeISO", "2024-05-03T11:43:41Z", "ContainerType", "mp4"))
	put(t, c, recording, clip1, first, metaHeaders("Object", "StartTime", "1714736021", "StopTime", "1714736321", "ContainerType", "mp4"))
	put(t, c, recording, trailName, trail, metaHeaders("Object", "FileType", "json"))
	put(t, c, recording, "bookmark_20240503T113500Z_1", nil, metaHeaders("Object", "CategoryID", "2", "CategoryName", "Traffic%20stop", "StartTime", "2024-05-03T11:35:00Z"))
	put(t, c, recording, "bookmark_20240503T114000Z_2", []byte("driver shows no papers"), metaHeaders("Object", "StartTime", "2024-05-03T11:40:00.5Z"))
}

func complete(t *testing.T, c *swift.Connection, name string) {
	t.Helper()
	must(t, c.ContainerUpdate(context.Background(), name, metaHeaders("Container", "Status", "Complete", "TriggerOff", "Button")))
}

// TestRecordingIsHandedOver: an independent Swift client sends a recording with two clips, GPS trail and bookmarks; the agent finds a docking with
// the files as they were sent, one sequence, the header filled, the marks in their clips.
func TestRecordingIsHandedOver(t *testing.T) {
	s := newSite(t)
	next := s.agent(nil).watch()
	c := s.connect()
	introduce(t, c)
	first, second := footage(t, "movie1/VID_20191220_170832.mp4"), footage(t, "movie2/movie-hello.mp4")
	transfer(t, c, first, second)
	if _, ok := s.find(func(handoff.Docking) bool { return true }); ok {
		t.Fatal("handed over before it was complete")
	}
	complete(t, c, recording)

	d := next()
	if d.State != handoff.StateReady || d.Slot != "axis" || d.Serial != serial || d.Volume != volumeOf(testUser, recording) || d.Model != "W120" || d.Firmware != "11.11.1" ||
		d.Officer != "A-4711" || d.OfficerName != "王伟" || d.Unit != "Station North" || !d.Erases || len(d.ID) != 32 || d.Size == 0 {
		t.Errorf("docking %+v", d)
	}
	list, files := s.agent(nil).files(d.ID)
	if len(list) != 6 || string(list[0].Path) != "/"+clip1 || string(list[1].Path) != "/"+clip2 {
		t.Fatalf("files %+v", list)
	}
	for name, want := range map[string][]byte{clip1: first, clip2: second, trailName: trail, "bookmark_20240503T113500Z_1": {}, "bookmark_20240503T114000Z_2": []byte("driver shows no papers")} {
		got, err := os.ReadFile(filepath.Join(string(d.Root), name))
		must(t, err)
		if !bytes.Equal(got, want) || files[name].Size != uint64(len(want)) {
			t.Errorf("%s is not as it was sent", name)
		}
	}
	if files[clip1].Kind != handoff.KindVideo || files[trailName].Kind != handoff.KindTrack || files["bookmark_20240503T113500Z_1"].Kind != handoff.KindLog || files[metadataFile].Kind != handoff.KindLog {
		t.Errorf("kinds %+v", list)
	}
	for i, name := range []string{clip1, clip2} {
		if f := files[name]; f.Group != d.Volume || f.Number != uint64(i+1) || f.Serial != serial || f.Officer != "A-4711" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if files[clip1].Begun != time.Date(2024, 5, 3, 11, 33, 41, 0, time.UTC).UnixMilli() || files[clip2].Begun != time.Date(2024, 5, 3, 11, 38, 41, 0, time.UTC).UnixMilli() {
		t.Errorf("begun %d, %d", files[clip1].Begun, files[clip2].Begun)
	}
	if m := files[clip1].Marks; !slices.Equal(m, []handoff.Mark{{Moment: 79_000, Text: "Traffic stop"}}) {
		t.Errorf("marks of the first clip: %+v", m)
	}
	if m := files[clip2].Marks; !slices.Equal(m, []handoff.Mark{{Moment: 79_500, Text: "driver shows no papers"}}) {
		t.Errorf("marks of the second clip: %+v", m)
	}
	h := files[clip2].Header
	if h == nil || len(h.Officers) != 1 || h.Officers[0].Name != "王伟" || h.Officers[0].Certificate != "A-4711" || h.Cause != "Traffic stop" || h.Time != "2024-05-03T11:34:11Z" ||
		h.Place != "55.718409, 13.221184" || h.By != "axis content destination: Station North" || files[clip1].Note != "driver shows no papers" {
		t.Errorf("header %+v, note %q", h, files[clip1].Note)
	}
	if files[trailName].Header != nil {
		t.Error("a track has a case header")
	}
	meta, err := os.ReadFile(filepath.Join(string(d.Root), metadataFile))
	must(t, err)
	for _, w := range []string{recording, "Europe/Stockholm", "Traffic%20stop", "A-4711", "Station%20North", "W120", clip1} {
		if !strings.Contains(string(meta), w) {
			t.Errorf("%s does not hold %q", metadataFile, w)
		}
	}
}
