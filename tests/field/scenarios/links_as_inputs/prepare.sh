mkdir -p data/real/deep
echo target > data/real/a_long_name_S1_L001.txt
echo inside > data/real/deep/inside.txt
ln -s real/a_long_name_S1_L001.txt data/short.txt
ln -s short.txt data/chain.txt
ln -s real/deep data/folder
ln -s ../a_long_name_S1_L001.txt data/real/deep/linked.txt
