package dockvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// qmp is a connection to QEMU's monitor (QEMU Machine Protocol). It is safe for concurrent use.
type qmp struct {
	conn  net.Conn
	turn  sync.Mutex // one command at a time
	enc   *json.Encoder
	reply chan qmpMessage

	mu      sync.Mutex
	waiting map[string]chan struct{} // by the id of a device that is about to be deleted
	err     error
	ended   chan struct{}
}

type qmpMessage struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
	Data  struct {
		Device string `json:"device"`
	} `json:"data"`
}

func newQMP(ctx context.Context, conn net.Conn) (*qmp, error) {
	q := &qmp{conn: conn, enc: json.NewEncoder(conn), reply: make(chan qmpMessage), waiting: map[string]chan struct{}{}, ended: make(chan struct{})}
	go q.read()
	if err := q.do(ctx, "qmp_capabilities", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return q, nil
}

func (q *qmp) read() {
	defer close(q.ended)
	dec := json.NewDecoder(q.conn)
	for {
		var m qmpMessage
		if err := dec.Decode(&m); err != nil {
			q.mu.Lock()
			q.err = err
			q.mu.Unlock()
			return
		}
		switch {
		case m.QMP != nil:
		case m.Event == "DEVICE_DELETED":
			q.mu.Lock()
			if c := q.waiting[m.Data.Device]; c != nil {
				close(c)
				delete(q.waiting, m.Data.Device)
			}
			q.mu.Unlock()
		case m.Event != "":
		default:
			q.reply <- m
		}
	}
}

// do runs one command of the monitor.
func (q *qmp) do(ctx context.Context, command string, arguments any) error {
	q.turn.Lock()
	defer q.turn.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := q.enc.Encode(request); err != nil {
		return fmt.Errorf("QEMU's monitor, %s: %w", command, err)
	}
	select {
	case m := <-q.reply:
		if m.Error != nil {
			return fmt.Errorf("QEMU's monitor, %s: %s", command, m.Error.Desc)
		}
		return nil
	case <-q.ended:
		return fmt.Errorf("QEMU's monitor, %s: %w", command, q.err)
	case <-ctx.Done():
		// The answer may come yet, and would be taken for that to the next command.
		return errors.Join(fmt.Errorf("QEMU's monitor, %s: %w", command, ctx.Err()), q.conn.Close())
	}
}

// deleted returns what is closed when the device is gone. Ask before deleting it.
func (q *qmp) deleted(device string) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := make(chan struct{})
	q.waiting[device] = c
	return c
}
