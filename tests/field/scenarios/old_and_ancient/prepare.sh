mkdir data out
echo old > data/old.txt
echo new > data/new.txt
echo 'from before' > out/kept.txt
touch -d '2019-01-01' data/old.txt
touch -d '2020-01-01' out/kept.txt
touch -d '2021-01-01' data/new.txt
