package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// contactsAge is how long it is remembered which of a vendor's records has a number. Then it is looked up again.
const contactsAge = 30 * day

// contactsAtOnce bounds the requests of one call to the bucket that are under way together.
const contactsAtOnce = 32

// Contacts remembers which of a CRM's records has a telephone number, in a key-value bucket that all processes share.
type Contacts struct {
	bus  *Bus
	sink string

	mu sync.Mutex
	kv jetstream.KeyValue // nil until it is needed
}

// Contacts returns those of the sink of that name. The bucket is made when one is first used.
func (b *Bus) Contacts(sink string) *Contacts { return &Contacts{bus: b, sink: sink} }

func (c *Contacts) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kv != nil {
		return c.kv, nil
	}
	kv, err := c.bus.contacts(ctx)
	if err != nil {
		return nil, err
	}
	c.kv = kv
	return kv, nil
}

// contacts is the bucket, made where it is not there.
func (b *Bus) contacts(ctx context.Context) (jetstream.KeyValue, error) {
	name := b.prefix + "contacts"
	kv, err := b.js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = b.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: name, Description: "which record of a CRM has a telephone number",
			TTL: contactsAge, Storage: jetstream.FileStorage, Replicas: b.replicas,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	return kv, nil
}

// key is a number's: a key cannot hold its plus sign.
func (c *Contacts) key(e164 string) string { return c.sink + "." + strings.TrimPrefix(e164, "+") }

// Get returns the record ids of those numbers that are known.
func (c *Contacts) Get(ctx context.Context, e164 []string) (map[string]string, error) {
	found := map[string]string{}
	var mu sync.Mutex
	err := c.each(ctx, e164, func(ctx context.Context, kv jetstream.KeyValue, number string) error {
		e, err := kv.Get(ctx, c.key(number))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		found[number] = string(e.Value())
		return nil
	})
	return found, err
}

// Put remembers record ids by their numbers.
func (c *Contacts) Put(ctx context.Context, ids map[string]string) error {
	var numbers []string
	for n := range ids {
		numbers = append(numbers, n)
	}
	return c.each(ctx, numbers, func(ctx context.Context, kv jetstream.KeyValue, number string) error {
		_, err := kv.PutString(ctx, c.key(number), ids[number])
		return err
	})
}

// Delete forgets numbers, as when a record is gone.
func (c *Contacts) Delete(ctx context.Context, e164 ...string) error {
	return c.each(ctx, e164, func(ctx context.Context, kv jetstream.KeyValue, number string) error {
		return kv.Purge(ctx, c.key(number))
	})
}

// each does something for every number, several at a time. Its error names none of them.
func (c *Contacts) each(ctx context.Context, numbers []string, do func(context.Context, jetstream.KeyValue, string) error) error {
	if len(numbers) == 0 {
		return nil
	}
	kv, err := c.bucket(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(contactsAtOnce)
	for _, n := range numbers {
		g.Go(func() error { return do(ctx, kv, n) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("the contacts of sink %s: %w", c.sink, err)
	}
	return nil
}
