package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/retry"
)

// MaxBody is the largest body in bytes that a delivery may have, whatever the broker takes in one message.
const MaxBody = 64 << 20

// A body that no message can hold is an object of the JetStream object store, and the message of its delivery is empty
// and says where that is. The object is stored first, so that no message ever names one that is not there. A bucket
// keeps its objects a day longer than the stream keeps the messages that name them; a delivery that is buried takes
// its object along into the other bucket.
const (
	bodies     = "bodies"      // named by messages in WEBHOOKS and REDRIVE
	deadBodies = "dead-bodies" // by those in DEAD
)

// Headers of a message whose body is an object.
const (
	headerBody       = "Onhook-Body"        // <bucket without the prefix>/<object>
	headerBodySize   = "Onhook-Body-Size"   // bytes
	headerBodySHA256 = "Onhook-Body-SHA256" // lower-case hex
)

// chunkSize is how much of an object goes into one message. Each is an fsync.
const (
	chunkSize  = 512 << 10
	leastChunk = 4 << 10 // where a server takes messages so small that our headers alone fill most of one
)

// bodyTimeout is for one object's way to or from the broker.
const bodyTimeout = 30 * time.Second

// bodyRef is where a message's body is.
type bodyRef struct {
	bucket, object string
	size           int64
	sha256         string
}

func bodyRefFrom(h nats.Header) (bodyRef, bool) {
	bucket, object, ok := strings.Cut(h.Get(headerBody), "/")
	size, err := strconv.ParseInt(h.Get(headerBodySize), 10, 64)
	return bodyRef{bucket, object, size, h.Get(headerBodySHA256)}, ok && err == nil && size >= 0 && size <= MaxBody
}

func (r bodyRef) set(h nats.Header) {
	h[headerBody] = []string{r.bucket + "/" + r.object}
	h[headerBodySize] = []string{strconv.FormatInt(r.size, 10)}
	h[headerBodySHA256] = []string{r.sha256}
}

// room is how many bytes of data a message may have on this connection. Until there is one, nothing bounds it.
func (b *Bus) room() int64 {
	if most := b.nc.MaxPayload(); most > 0 {
		return most - headroom
	}
	return math.MaxInt64
}

// Large reports that d's body goes through the object store, so that a failure to store it may say nothing of others.
func (b *Bus) Large(d *Delivery) bool { return int64(len(d.Body)) > b.room() }

// large returns what stores d's body as an object, then d without it. Called again, it stores the body only if that
// failed, and then under another name: a message may be stored already that names the object, its PubAck lost.
func (b *Bus) large() func(context.Context, *Delivery) error {
	var ref bodyRef
	return func(ctx context.Context, d *Delivery) error {
		ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
		defer cancel()
		if ref.object == "" {
			sum := sha256.Sum256(d.Body)
			r := bodyRef{bodies, d.ID + "." + uuid.NewString(), int64(len(d.Body)), hex.EncodeToString(sum[:])}
			if err := b.putObject(ctx, r, d.Body); err != nil {
				return err
			}
			ref = r
		}
		m := b.committer.plain(d)
		m.Data = nil
		ref.set(m.Header)
		return b.publish(ctx, m, d.ID)
	}
}

func (b *Bus) putObject(ctx context.Context, ref bodyRef, body []byte) error {
	reconnects := b.nc.Stats().Reconnects
	store, err := b.js.ObjectStore(ctx, b.prefix+ref.bucket)
	if err != nil {
		return fmt.Errorf("object store %s: %w", b.prefix+ref.bucket, err)
	}
	opts := &jetstream.ObjectMetaOptions{ChunkSize: uint32(max(leastChunk, min(chunkSize, b.room())))}
	_, err = store.Put(ctx, jetstream.ObjectMeta{Name: ref.object, Opts: opts}, bytes.NewReader(body))
	if err == nil && (!b.nc.IsConnected() || b.nc.Stats().Reconnects != reconnects) {
		err = nats.ErrDisconnected // the client gives up chunks that it has no answer to, and may say so a moment too late
	}
	if err != nil {
		return fmt.Errorf("object store %s: %w", b.prefix+ref.bucket, publishFault(err))
	}
	return nil
}

// getBody reads the body that ref names. What is not there, or is not what was stored, is a plain error: a replica may
// lag behind.
func (b *Bus) getBody(ctx context.Context, ref bodyRef) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	fault := func(err error) error {
		err = fmt.Errorf("object %s of object store %s: %w", ref.object, b.prefix+ref.bucket, err)
		for _, lost := range []error{jetstream.ErrObjectNotFound, jetstream.ErrBucketNotFound, jetstream.ErrDigestMismatch, errNotTheBody} {
			if errors.Is(err, lost) {
				return err
			}
		}
		return retry.Outage(time.Second, err)
	}
	store, err := b.js.ObjectStore(ctx, b.prefix+ref.bucket)
	if err != nil {
		return nil, fault(err)
	}
	r, err := store.Get(ctx, ref.object)
	if err != nil {
		return nil, fault(err)
	}
	defer func() { _ = r.Close() }()
	body := make([]byte, ref.size)
	if _, err := io.ReadFull(r, body); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fault(err)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != ref.sha256 {
		return nil, fault(errNotTheBody)
	}
	return body, nil
}

var errNotTheBody = errors.New("it is not the body that was stored: its size or SHA-256 is another")

// keepBody copies the object that a message names to where it lives as long as a dead one. An object that cannot be read
// is no reason to keep the message from being buried: it would come again for ever.
func (b *Bus) keepBody(ctx context.Context, ref bodyRef, object string) (bodyRef, error) {
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	body, err := b.getBody(ctx, ref)
	if err != nil && !b.nc.IsConnected() {
		return ref, err
	}
	if err != nil {
		return ref, nil
	}
	kept := bodyRef{deadBodies, object, ref.size, ref.sha256}
	return kept, b.putObject(ctx, kept, body)
}

// dropBody deletes the object of a dead message that is discarded.
func (b *Bus) dropBody(ctx context.Context, ref bodyRef) error {
	store, err := b.js.ObjectStore(ctx, b.prefix+ref.bucket)
	if err != nil {
		return fmt.Errorf("object store %s: %w", b.prefix+ref.bucket, err)
	}
	if err := store.Delete(ctx, ref.object); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("object store %s: %w", b.prefix+ref.bucket, err)
	}
	return nil
}
