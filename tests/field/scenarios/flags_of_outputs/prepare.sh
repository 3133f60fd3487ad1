mkdir out
echo 'from before' > out/appended.txt
