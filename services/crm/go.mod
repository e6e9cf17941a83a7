module github.com/onhook/onhook/services/crm

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/nyaruka/phonenumbers v1.8.1
	github.com/onhook/onhook/pkg v0.0.0
	github.com/onhook/onhook/schemas v0.0.0
	go.uber.org/goleak v1.3.0
	golang.org/x/oauth2 v0.37.0
	golang.org/x/sync v0.24.0
	golang.org/x/time v0.16.0
)

require (
	github.com/goccy/go-yaml v1.19.2 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace (
	github.com/onhook/onhook/pkg => ../../pkg
	github.com/onhook/onhook/schemas => ../../schemas
)
