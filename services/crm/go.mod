module github.com/onhook/onhook/services/crm

go 1.26.0

require github.com/onhook/onhook/pkg v0.0.0

replace (
	github.com/onhook/onhook/pkg => ../../pkg
	github.com/onhook/onhook/schemas => ../../schemas
)
