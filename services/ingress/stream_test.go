package ingress

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
)

// broker is a real broker, the bus to it, and a look at what the stream holds that does not go through the bus.
type broker struct {
	*bustest.Server
	*bus.Bus
	nc *nats.Conn
}

func startBroker(t testing.TB) *broker {
	t.Helper()
	srv := bustest.StartServer(t)
	b := &broker{Server: srv, Bus: srv.Connect(t)}
	var err error
	if b.nc, err = nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.nc.Close)
	return b
}

// ask asks the server's own API about the stream of deliveries.
func (b *broker) ask(t testing.TB, what string, request, reply any) {
	t.Helper()
	var failed struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	body, err := json.Marshal(request)
	if err == nil {
		var m *nats.Msg
		if m, err = b.nc.Request("$JS.API.STREAM."+what+".WEBHOOKS", body, 10*time.Second); err == nil {
			if err = json.Unmarshal(m.Data, &failed); err == nil {
				err = json.Unmarshal(m.Data, reply)
			}
		}
	}
	if err == nil && failed.Error != nil {
		err = fmt.Errorf("%s", failed.Error.Description)
	}
	if err != nil {
		t.Fatalf("stream %s: %v", what, err)
	}
}

// stored is how many deliveries the stream holds.
func (b *broker) stored(t testing.TB) int {
	t.Helper()
	streams, err := b.Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(streams[0].Messages)
}

type storedMessage struct {
	subject string
	header  nats.Header
	body    []byte
}

// message is the stream's message of a sequence, as it lies there.
func (b *broker) message(t testing.TB, seq int) storedMessage {
	t.Helper()
	var reply struct {
		Message struct {
			Subject string `json:"subject"`
			Header  []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	b.ask(t, "MSG.GET", map[string]int{"seq": seq}, &reply)
	h, err := nats.DecodeHeadersMsg(reply.Message.Header)
	if err != nil {
		t.Fatal(err)
	}
	return storedMessage{reply.Message.Subject, h, reply.Message.Data}
}

// limit sets the stream's limit on messages; -1 takes it away.
func (b *broker) limit(t testing.TB, messages int) {
	t.Helper()
	var info struct {
		Config map[string]any `json:"config"`
	}
	b.ask(t, "INFO", nil, &info)
	info.Config["max_msgs"] = messages
	b.ask(t, "UPDATE", info.Config, &info)
}
