mkdir data
: > data/empty.bin
printf 'no newline' > data/no_newline.bin
printf 'a\r\nb\r\n' > data/windows.bin
python -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 300)' > data/bytes.bin
printf 'compressed' | gzip -n > data/compressed.bin
printf 'gr\374n\n' > data/latin.bin
