package postgres

// BeyondNumeric is beyondNumeric for the tests, whose table a server is asked too.
var BeyondNumeric = beyondNumeric
