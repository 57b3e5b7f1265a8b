package s3

// ClientOptions lets a test act with the same credentials beside the vault.
var ClientOptions = clientOptions
