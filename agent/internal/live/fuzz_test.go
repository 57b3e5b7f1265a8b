package live

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"camseal/agent/internal/feed"
)

// FuzzAnswer: whatever description the server answers with, the session ends with an error or waits for a connection.
func FuzzAnswer(f *testing.F) {
	const head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=fingerprint:sha-256 " +
		"00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\r\n"
	const video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcdefgh\r\na=ice-pwd:abcdefghabcdefghabcdefgh\r\na=mid:0\r\na=setup:active\r\na=rtcp-mux\r\n" +
		"a=rtpmap:96 H264/90000\r\na=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01e\r\na=recvonly\r\n"
	const audio = "m=audio 9 UDP/TLS/RTP/SAVPF 8\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcdefgh\r\na=ice-pwd:abcdefghabcdefghabcdefgh\r\na=mid:1\r\na=setup:active\r\na=rtpmap:8 PCMA/8000\r\na=recvonly\r\n"
	f.Add(head + video + audio)
	f.Add(head + video + strings.Replace(audio, "audio 9", "audio 0", 1))
	f.Add(head + audio + video)
	f.Add(head + strings.Replace(video, "96", "97", -1) + audio + audio)
	f.Add("v=0\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		p := New(Config{Now: time.Now, Log: slog.New(slog.DiscardHandler), Send: func(ctx context.Context, method, _ string, _ http.Header, _ []byte) (*http.Response, error) {
			return response(201, answer, "Content-Type", "application/sdp", "Location", "/s/1")(ctx)
		}})
		p.Tracks([]feed.Track{{Codec: feed.H264, Params: [][]byte{{0x67, 66, 0xc0, 30}, {0x68, 1}}}, {Codec: feed.PCMA, Rate: 8000, Channels: 1}})
		s, err := newSession(p, p.plan)
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		defer s.close(ctx)
		if s.negotiate(ctx) == nil && len(s.carriers) == 0 {
			t.Error("a session without pictures and sound")
		}
	})
}
