module github.com/onhook/onhook/schemas

go 1.26.0
