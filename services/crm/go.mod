module github.com/onhook/onhook/services/crm

go 1.26.0

require (
	cel.dev/cel-go v0.33.2
	github.com/onhook/onhook/pkg v0.0.0
)

require (
	cel.dev/expr v0.25.1 // indirect
	github.com/antlr4-go/antlr/v4 v4.13.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/exp v0.0.0-20260824195058-e88cd73687aa // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20240826202546-f6391c0de4c7 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260831171406-18b4a7587f8a // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace (
	github.com/onhook/onhook/pkg => ../../pkg
	github.com/onhook/onhook/schemas => ../../schemas
)
