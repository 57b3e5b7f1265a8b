package live

import (
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
)

const (
	repairShare = 0.25            // of the speed: what may go for sending once more
	repairAge   = 2 * time.Second // older packets are of no use any more
)

// repairs stands below what answers NACKs. On a narrow link those answers would be what fills it: they are kept to a share of the speed and to
// what was sent just now.
type repairs struct {
	interceptor.NoOp
	pace *pace
}

// NewInterceptor implements interceptor.Factory.
func (r *repairs) NewInterceptor(string) (interceptor.Interceptor, error) { return r, nil }

// BindLocalStream implements interceptor.Interceptor.
func (r *repairs) BindLocalStream(_ *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	s := &sent{}
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		again, late := s.note(h.SequenceNumber, r.pace.now())
		if again && (late || !r.pace.repair(len(payload))) {
			return 0, nil
		}
		return w.Write(h, payload, a)
	})
}

// sent knows which sequence numbers were used lately.
type sent struct {
	mu          sync.Mutex
	begun       bool
	newest      uint16
	older, mark uint16 // the newest at the times before
	at          time.Time
}

// note takes in a packet's number and reports whether it was sent before, and too long ago.
func (s *sent) note(n uint16, now time.Time) (again, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun, s.newest, s.mark, s.older, s.at = true, n-1, n-1, n-1, now
	}
	if now.Sub(s.at) > repairAge/2 {
		s.older, s.mark, s.at = s.mark, s.newest, now
	}
	if int16(n-s.newest) > 0 {
		s.newest = n
		return false, false
	}
	return true, int16(n-s.older) <= 0
}
