# Links, what an earlier run may have left, and a file that is too large to be sent along.
ln -s a.txt data/link.txt
ln -s nowhere dangling.txt
echo left > stale.txt
mkdir -p ../beside
head -c 2000000 /dev/zero > ../beside/genome.bin
