package crm

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/services/crm/internal/hubspot"
	"github.com/onhook/onhook/services/crm/internal/salesforce"
	"github.com/onhook/onhook/services/crm/internal/sink"
	"github.com/onhook/onhook/services/crm/internal/webhook"
)

// kind is a way to reach a CRM.
type kind struct {
	name        string
	batch, most int                     // calls per batch, if not configured and at most
	linger      time.Duration           // for a batch that is not full, if not configured
	concurrency int                     // batches at once, if not configured
	progress    bool                    // whether it can tell a call's progress from its end
	field       func(name string) error // why nothing is configured by that name in fields; nil: any is
	anyCase     bool                    // whether names of fields that differ in case alone are one
	config      func() clientConfig
	open        func(clientConfig, deps) (sink.Sink, error)
}

// clientConfig is a pointer to the struct with a kind's own keys.
type clientConfig interface{ Validate() error }

// deps is what a kind's client is built over.
type deps struct {
	name     string // of the sink
	contacts sink.Contacts
	log      *zap.Logger
}

// kinds is every kind, in alphabetical order.
var kinds = []kind{
	{name: "hubspot", batch: 100, most: 1000, linger: time.Second, concurrency: 1, field: hubspot.CheckField, config: own(hubspot.DefaultConfig), open: client(func(c hubspot.Config, d deps) (*hubspot.Client, error) {
		return hubspot.New(c, hubspot.Deps{Name: d.name, Contacts: d.contacts, Log: d.log})
	})},
	{name: "salesforce", batch: 200, most: 1000, linger: time.Second, concurrency: 1, field: salesforce.CheckField, anyCase: true, config: own(salesforce.DefaultConfig), open: client(func(c salesforce.Config, d deps) (*salesforce.Sink, error) {
		return salesforce.New(c, d.contacts), nil
	})},
	{name: "webhook", batch: 64, most: 1000, concurrency: 2, progress: true, config: own(webhook.DefaultConfig), open: client(func(c webhook.Config, d deps) (*webhook.Client, error) {
		return webhook.New(c, webhook.Deps{Sink: d.name})
	})},
}

// own makes the function that kind.config wants of a kind's DefaultConfig.
func own[C any, P interface {
	*C
	clientConfig
}](defaults func() C) func() clientConfig {
	return func() clientConfig {
		c := defaults()
		return P(&c)
	}
}

// client makes the function that kind.open wants of one that takes the kind's own Config.
func client[C any, P interface {
	*C
	clientConfig
}, S sink.Sink](open func(C, deps) (S, error)) func(clientConfig, deps) (sink.Sink, error) {
	return func(c clientConfig, d deps) (sink.Sink, error) {
		s, err := open(*c.(P), d)
		if err != nil {
			return nil, err // not a nil S in an interface that is not nil
		}
		return s, nil
	}
}

func kindOf(name string) (kind, error) {
	var names []string
	for _, k := range kinds {
		if k.name == name {
			return k, nil
		}
		names = append(names, k.name)
	}
	if name == "" {
		return kind{}, fmt.Errorf("a sink needs a kind: %s", strings.Join(names, ", "))
	}
	return kind{}, fmt.Errorf("there is no kind %q; there are %s", name, strings.Join(names, ", "))
}
