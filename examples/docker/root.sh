#!/bin/sh
# Fills the folder that becomes the root of the image: the program, the libraries that it loads, the certificates, and the licences of all
# that is linked into the program.
#
#     sh examples/docker/root.sh PROGRAM LICENCES FOLDER
#
# The libraries are this system's, so it has to be the one on which the program was built. The certificates are what TLS to MongoDB Atlas and
# Google needs. /spool is the one place to write to; give it a volume, or a tmpfs.
set -eu
program=$1
licences=$2
folder=$3

install -D -m 755 "$program" "$folder/usr/local/bin/batch-export"
# Each is named with its path, the loader by its path alone.
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    install -D -m 755 "$library" "$folder$library"
done
install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
install -D -m 644 "$licences" "$folder/usr/share/doc/batch-export/copyright"
echo 'batch-export:x:65532:65532::/:/nowhere' >"$folder/etc/passwd"
install -d -m 1777 "$folder/spool"
